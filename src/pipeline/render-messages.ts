// What parent and picture child say to each other. A child that decodes hostile bytes may say anything:
// its answers are checked against these schemas, and its sizes against its bytes, before they are believed.

import { type Static, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { sniff } from './picture-type.ts'
import type { Preset } from './presets.ts'
import type { Frame } from './render-protocol.js'
import type { Rendered, RenderedFile } from './renderer.ts'
import { thumbhashOf, thumbhashSide } from './thumbhash.ts'

export type RenderRequest =
  | { op: 'inspect'; path: string }
  | {
      op: 'render'
      path: string
      presets: readonly Preset[]
      maxPixels: number
      /** A preview to hash, pixels a side at most. */
      previewSide: number
    }

const Pixels = Type.Integer({ minimum: 1, maximum: 2 ** 31 })
const PreviewPixels = Type.Integer({ minimum: 1, maximum: thumbhashSide })
const Word = Type.String({ maxLength: 40 })

/** The child's first word: everything is loaded. */
const Ready = Type.Object({ ready: Type.Literal(true) })

/** libvips refused the picture; `failed` is its own text. */
const Failed = Type.Object({ failed: Type.String({ maxLength: 4000 }) })

const Header = Type.Object({
  format: Word,
  compression: Type.Optional(Word),
  /** Upright, pixels. */
  width: Pixels,
  height: Pixels,
  frames: Pixels,
  channels: Type.Integer({ minimum: 1, maximum: 64 }),
  depth: Word,
  /** Interlaced PNG or progressive JPEG: held in memory as a whole while decoding. */
  interlaced: Type.Boolean(),
  chromaSubsampling: Type.Optional(Word),
})
/** What libvips reads in a picture's header. */
export type PictureHeader = Static<typeof Header>

const RenderedMessage = Type.Object({
  /** Their bytes stand in the frame's body, one after the other. */
  files: Type.Array(
    Type.Object({
      preset: Type.String(),
      width: Pixels,
      height: Pixels,
      bytes: Type.Integer({ minimum: 1 }),
    }),
  ),
  /** The picture in a few pixels, three bytes each, after the files. */
  preview: Type.Object({ width: PreviewPixels, height: PreviewPixels }),
})

/** What a child answered that is no answer to what it was asked. */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation'
}

export type Answer<T> = { value: T } | { failed: string }

export function readReady(frame: Frame): true {
  believe(Ready, frame.message)
  return true
}

export function readHeader(frame: Frame): Answer<PictureHeader> {
  return readFailed(frame) ?? { value: believe(Header, frame.message) }
}

/** Reads the renditions that were asked for: one for each preset, in any order, no larger than its box. */
export function readRendered(frame: Frame, presets: readonly Preset[]): Answer<Rendered> {
  const failed = readFailed(frame)
  if (failed) return failed
  const { files, preview } = believe(RenderedMessage, frame.message)
  const rest = new Map(presets.map((preset) => [preset.name, preset]))
  const rendered: RenderedFile[] = []
  let offset = 0
  for (const { preset: name, width, height, bytes } of files) {
    const preset = rest.get(name)
    const body = frame.body.subarray(offset, offset + bytes)
    offset += bytes
    require(preset !== undefined && rest.delete(name), 'a rendition nobody asked for')
    require(width <= preset.width && height <= preset.height, 'a rendition larger than its box')
    // It will be served under this type: nothing else may get in.
    require(sniff(body) === preset.format, 'a rendition of another format')
    rendered.push({ preset: name, body, width, height, format: preset.format })
  }
  const pixels = frame.body.subarray(offset)
  const isWhole = rest.size === 0 && pixels.length === preview.width * preview.height * 3
  require(isWhole, 'renditions or bytes are missing')
  return { value: { files: rendered, thumbhash: thumbhashOf(pixels, preview) } }
}

function readFailed({ message }: Frame): { failed: string } | undefined {
  return Value.Check(Failed, message) ? { failed: message.failed } : undefined
}

function believe<S extends TSchema>(schema: S, message: unknown): Static<S> {
  if (Value.Check(schema, message)) return message
  throw new ProtocolViolation('an answer of another shape')
}

function require(condition: boolean, message: string): asserts condition {
  if (!condition) throw new ProtocolViolation(message)
}
