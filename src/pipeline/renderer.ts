// What the parent asks of the picture children. The parent never decodes a picture itself.

import type { Wait } from '../lib/allowance.ts'
import type { Preset } from './presets.ts'

export const pictureFormats = ['jpeg', 'png', 'webp', 'gif', 'avif'] as const
export type PictureFormat = (typeof pictureFormats)[number]

/** What the header says, before anything is decoded. */
export interface Inspection {
  format: PictureFormat
  /** Upright: EXIF orientations 5–8 swap the stored sides. */
  width: number
  height: number
  frames: number
}

export interface RenderedFile {
  preset: string
  body: Uint8Array
  width: number
  height: number
  format: PictureFormat
}

export interface Rendered {
  files: RenderedFile[]
  /** ThumbHash of the picture (about 25 bytes, a blurred preview), base64. */
  thumbhash: string
}

/** How a picture comes to a child. */
export interface Turn {
  signal: AbortSignal
  /** Is given the wait for a child: the limits on time begin when one has the picture. */
  wait?: Wait
}

/**
 * A pool of children. Its methods take files of the spool folder, and throw AppErrors:
 * with image codes for what is wrong with the picture, or what it did to a child; `unavailable` (try
 * later, the picture is not to blame) while no child can be started. An abort rejects with the
 * signal's reason.
 */
export interface Renderer extends AsyncDisposable {
  /** Tells the format by content, reads the header and judges it by all limits. Decodes nothing. */
  inspect(path: string, turn: Turn): Promise<Inspection>
  /** Decodes once and makes every preset (at least one) from that. For pictures that `inspect` let pass. */
  render(path: string, presets: readonly Preset[], turn: Turn): Promise<Rendered>
}
