// Opens the renderer: the spool folder, the sandbox that this host allows, the pool of children in it.

import { randomUUID } from 'node:crypto'
import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises'
import { resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Logger } from '../observability/logger.ts'
import { judgeHeader, type PictureLimits } from './inspect.ts'
import { formatOfFile } from './picture-type.ts'
import { type ChildCommand, type RenderChild, startRenderChild } from './render-child.ts'
import { failureOfText } from './render-failures.ts'
import { type Answer, readHeader, readRendered } from './render-messages.ts'
import { RenderPool } from './render-pool.ts'
import type { Renderer } from './renderer.ts'
import { type ChildProgram, findSandbox, type Sandbox, unprivilegedId } from './sandbox.ts'
import { thumbhashSide } from './thumbhash.ts'

export interface RendererOptions {
  /** Children at most; as many as processors keep those busy. */
  processes: number
  limits: PictureLimits
  /** What a child may use before it is stopped; at least 128 MiB, or none starts. */
  childMemoryBytes: number
  /** For one request, from the moment a child has it. */
  timeoutMs: number
  /**
   * Where the pictures lie while they are worked on. Created when it is not there. Run as root, the
   * children are somebody else: the folder is given their group, which files made in it inherit. Files
   * must let their group read (0640; the usual umask of 022 does), and the folders above let others pass.
   */
  spoolDirectory: string
  log: Logger
}

/** Loading libvips takes 0.1 s. A child whose limits are too tight for Node hangs instead of failing. */
const bootTimeoutMs = 10_000
/** 500 pictures, each inspected and rendered. */
const requestsPerChild = 1_000

/** A GIF of one pixel: a child that can inspect it in the spool can do its work. */
const probePicture = Buffer.from('R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs=', 'base64')

/**
 * Opens a pool of picture children. Resolves before any of them runs: the host's wrappers are probed
 * meanwhile, and one log line says what the sandbox holds here and what it lacks.
 */
export async function openRenderer(options: RendererOptions): Promise<Renderer> {
  const { limits, timeoutMs, processes, log } = options
  await prepareSpool(options.spoolDirectory)
  const start = createStarter(options)
  const pool = new RenderPool({ start, processes, requestsPerChild, clock: performance, log })
  pool.warm()
  return {
    inspect: async (path, turn) => {
      const { signal } = turn
      const format = await formatOfFile(path)
      const ask = (child: RenderChild) =>
        child.request({ op: 'inspect', path: resolve(path) }, readHeader, { timeoutMs, signal })
      return judgeHeader(format, valueIn(await pool.use(ask, turn)), limits)
    },
    render: async (path, presets, turn) => {
      const { maxPixels } = limits
      const { signal } = turn
      const ask = (child: RenderChild) =>
        child.request(
          { op: 'render', path: resolve(path), presets, maxPixels, previewSide: thumbhashSide },
          (frame) => readRendered(frame, presets),
          { timeoutMs, signal },
        )
      return valueIn(await pool.use(ask, turn))
    },
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  }
}

function valueIn<T>(answer: Answer<T>): T {
  if ('failed' in answer) throw failureOfText(answer.failed)
  return answer.value
}

/** Starts children in the sandbox that was found for the first of them. */
function createStarter(options: RendererOptions): (signal: AbortSignal) => Promise<RenderChild> {
  let command: ChildCommand | undefined
  return async (signal) => {
    if (command) return startRenderChild(command, { timeoutMs: bootTimeoutMs, signal })
    const bounds = {
      memoryBytes: options.childMemoryBytes,
      cpuSeconds: Math.ceil((requestsPerChild * options.timeoutMs) / 1_000),
    }
    const { sandbox, result } = await findSandbox({
      program: programOf(options),
      bounds,
      attempt: (tried) => startProvenChild(tried, options.spoolDirectory, signal),
      signal,
    })
    command = sandbox.command
    logSandbox(options.log, sandbox)
    return result
  }
}

function programOf({ childMemoryBytes }: RendererOptions): ChildProgram {
  const fileOf = (name: string) => fileURLToPath(new URL(name, import.meta.url))
  const script = fileOf('render-process.js')
  return {
    script,
    args: [String(childMemoryBytes)],
    // The pictures are not among them: only libvips reads those.
    readable: [script, fileOf('render-protocol.js'), packagesFolder()],
  }
}

/** The outermost node_modules: what sharp loads may lie anywhere below it. */
function packagesFolder(): string {
  const packages = `${sep}node_modules${sep}`
  const sharp = fileURLToPath(import.meta.resolve('sharp'))
  return sharp.slice(0, sharp.indexOf(packages) + packages.length - 1)
}

/** A child that has read a picture in the spool: a user who may not look in there is of no use. */
async function startProvenChild(
  command: ChildCommand,
  spoolDirectory: string,
  signal: AbortSignal,
): Promise<RenderChild> {
  const path = resolve(spoolDirectory, `probe-${randomUUID()}`)
  const child = await startRenderChild(command, { timeoutMs: bootTimeoutMs, signal })
  try {
    await writeFile(path, probePicture, { mode: 0o640 })
    const deadline = { timeoutMs: bootTimeoutMs, signal }
    const answer = await child.request({ op: 'inspect', path }, readHeader, deadline)
    if ('failed' in answer) throw new Error(answer.failed)
    return child
  } catch (error) {
    await child[Symbol.asyncDispose]()
    throw error
  } finally {
    await rm(path, { force: true })
  }
}

/** Writable to us alone; readable to us, and to the group of the children where that is another one. */
async function prepareSpool(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  if (process.getuid?.() !== 0) return
  try {
    await chown(directory, 0, unprivilegedId)
    // Set-group-id: files made in it belong to its group.
    await chmod(directory, 0o2750)
  } catch {
    // The root of some containers may not. The sandbox will find that only our own user can read there.
  }
}

function logSandbox(log: Logger, { holds, missing, reason }: Sandbox): void {
  if (missing.length === 0) {
    log.info({ holds }, `pictures are decoded in a sandbox: ${holds.join(', ')}`)
    return
  }
  const text = `pictures are decoded in a sandbox without: ${missing.join(', ')}; see docs/sandbox.md`
  log.warn({ holds, missing, reason }, text)
}
