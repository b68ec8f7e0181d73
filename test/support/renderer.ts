// A renderer with a spool of its own, and a look at its children from outside.

import { randomUUID } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pino from 'pino'
import { openRenderer, type RendererOptions } from '../../src/pipeline/open-renderer.ts'
import { presets } from '../../src/pipeline/presets.ts'
import type { ChildCommand } from '../../src/pipeline/render-child.ts'
import type { Rendered, Renderer } from '../../src/pipeline/renderer.ts'

export interface TestRenderer extends AsyncDisposable {
  renderer: Renderer
  /** Puts a file into the spool; gives its path. */
  place(bytes: Uint8Array): Promise<string>
  /** Inspects and renders as the pipeline does, with the default preset. */
  process(bytes: Uint8Array): Promise<Rendered>
  /** Renders without inspecting: what a picture does that got past the gate. */
  renderUnjudged(bytes: Uint8Array): Promise<Rendered>
  logs: LogLine[]
}

export interface LogLine {
  msg: string
  holds?: string[]
  missing?: string[]
}

export const testLimits: RendererOptions['limits'] = {
  maxPixels: 100_000_000,
  maxSide: 16_384,
  maxFrames: 500,
  maxDecodeBytes: 512 * 1024 * 1024,
}

/** A signal that never aborts. */
export const unaborted = new AbortController().signal

/** Opens a renderer; its spool goes with it, unless the caller brought one. */
export async function openTestRenderer(
  options: Partial<RendererOptions> = {},
): Promise<TestRenderer> {
  const folder = options.spoolDirectory === undefined ? await makeFolder() : undefined
  const spoolDirectory = options.spoolDirectory ?? join(folder ?? '', 'spool')
  const logs: LogLine[] = []
  const renderer = await openRenderer({
    processes: 1,
    limits: testLimits,
    childMemoryBytes: 768 * 1024 * 1024,
    timeoutMs: 20_000,
    log: pino({ level: 'debug' }, { write: (line: string) => void logs.push(JSON.parse(line)) }),
    ...options,
    spoolDirectory,
  })
  const place = async (bytes: Uint8Array) => {
    const path = join(spoolDirectory, randomUUID())
    await writeFile(path, bytes)
    return path
  }
  return {
    renderer,
    place,
    process: async (bytes) => {
      const path = await place(bytes)
      await renderer.inspect(path, { signal: unaborted })
      return renderer.render(path, presets, { signal: unaborted })
    },
    renderUnjudged: async (bytes) =>
      renderer.render(await place(bytes), presets, { signal: unaborted }),
    logs,
    [Symbol.asyncDispose]: async () => {
      await renderer[Symbol.asyncDispose]()
      if (folder !== undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A picture child without anything around it, as on a host that allows nothing. */
export function bareCommand(memoryBytes: number): ChildCommand {
  const script = fileURLToPath(new URL('../../src/pipeline/render-process.js', import.meta.url))
  return {
    file: process.execPath,
    args: ['--jitless', script, String(memoryBytes)],
    environment: {},
  }
}

/** A temporary folder that other users may pass through, as a service's folders let them. */
export async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-pictures-'))
  await chmod(folder, 0o755)
  return folder
}

/** The picture children of a process, by what the kernel says (Linux). */
export async function childrenOf(parent: number): Promise<number[]> {
  const entries = await readdir('/proc')
  const pids = entries.filter((entry) => /^\d+$/.test(entry)).map(Number)
  const isChild = await Promise.all(pids.map((pid) => isPictureChild(pid, parent)))
  return pids.filter((_, at) => isChild[at])
}

async function isPictureChild(pid: number, parent: number): Promise<boolean> {
  try {
    const [status, command] = await Promise.all([
      readFile(`/proc/${pid}/status`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
    ])
    return status.includes(`\nPPid:\t${parent}\n`) && command.includes('render-process.js')
  } catch {
    // Gone between the listing and the look.
    return false
  }
}

/** True while the process runs or is stopped; a zombie has ended. */
export async function isAlive(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => undefined)
  return status !== undefined && !/^State:\t[ZX]/m.test(status)
}
