// Child processes of the scripts: their lines are passed on as they come, and whatever was started
// ends with the script that started it.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

export interface RunOptions {
  cwd: string
  /** Added to this process's environment; undefined removes a variable. */
  env?: Readonly<Record<string, string | undefined>>
  signal?: AbortSignal
  /** Called for each line of either stream. */
  onLine?: (line: string) => void
}

export interface Running extends AsyncDisposable {
  readonly pid: number
  /** Resolves with the exit code; with undefined when a signal ended it. Never rejects. */
  readonly ended: Promise<number | undefined>
  /** Standard output so far. */
  output(): string
  /** Asks politely, as a supervisor does: the process that was started, not its children. */
  terminate(): void
}

/** Starts a command in a process group of its own. Disposing kills what is left of the group. */
export function start(command: string, args: readonly string[], options: RunOptions): Running {
  const { cwd, env, signal, onLine } = options
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
  })
  if (onLine)
    for (const input of [child.stdout, child.stderr]) createInterface(input).on('line', onLine)
  else child.stderr.pipe(process.stderr, { end: false })
  const kill = () => killGroup(child)
  signal?.addEventListener('abort', kill, { once: true })
  if (signal?.aborted) kill()
  const ended = endOf(child).finally(() => signal?.removeEventListener('abort', kill))
  return {
    pid: child.pid ?? 0,
    ended,
    output: () => output,
    terminate: () => void child.kill('SIGTERM'),
    [Symbol.asyncDispose]: async () => {
      kill()
      await ended
    },
  }
}

/** Runs a command to its end and returns its standard output. Throws when it fails or is aborted. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions,
): Promise<string> {
  await using running = start(command, args, options)
  const code = await running.ended
  options.signal?.throwIfAborted()
  if (code !== 0)
    throw new Error(`${[command, ...args].join(' ')} ended with ${code ?? 'a signal'}`)
  return running.output()
}

/** Tries `check` until it no longer throws; throws what it threw last once `timeoutMs` is over or `signal` aborted. */
export async function until<T>(
  check: () => T | Promise<T>,
  { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (signal?.aborted || performance.now() > deadline) throw error
      await delay(50)
    }
  }
}

async function endOf(child: ChildProcess): Promise<number | undefined> {
  try {
    const [code] = await once(child, 'close')
    return code ?? undefined
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    return undefined
  }
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
