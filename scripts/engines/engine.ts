// A server of the caller's own as a child process, to be stopped, killed and started again.

import { type Running, type RunOptions, start, until } from '../processes.ts'

export interface Engine extends AsyncDisposable {
  /** Politely, with everything on disk; resolves when it is gone. */
  stop(): Promise<void>
  /** As `kill -9` and power cuts do. */
  kill(): Promise<void>
  /** On what it has kept; resolves when it is up. */
  start(): Promise<void>
  /** To its process, while it has one. */
  signal(name: NodeJS.Signals): void
}

export interface EngineOptions {
  name: string
  command: string
  args: readonly string[]
  options: Omit<RunOptions, 'onLine'>
  /** Throws until clients may connect. */
  greet(): Promise<unknown>
  startTimeoutMs: number
}

const STOP_TIMEOUT_MS = 30_000

/** Throws what it wrote when it ended instead of coming up. */
export async function startEngine(engine: EngineOptions): Promise<Engine> {
  const { name, command, args, options, greet, startTimeoutMs } = engine
  const written: string[] = []
  let server: Running | undefined
  const launch = async () => {
    const launched = startTied(command, args, {
      ...options,
      onLine: (line) => written.push(line),
    })
    server = launched
    let hasEnded = false
    void launched.ended.then(() => {
      hasEnded = true
    })
    const isUp = () => (hasEnded ? undefined : greet())
    await until(isUp, { timeoutMs: startTimeoutMs, signal: options.signal })
    if (hasEnded) throw new Error(`${name} did not start: ${written.join('\n')}`)
  }
  const kill = async () => {
    await server?.[Symbol.asyncDispose]()
    server = undefined
  }
  const stop = async () => {
    server?.terminate()
    const timer = setTimeout(() => void kill(), STOP_TIMEOUT_MS)
    await server?.ended
    clearTimeout(timer)
    await kill()
  }
  await using starting = new AsyncDisposableStack()
  starting.defer(kill)
  await launch()
  const started = starting.move()
  return {
    stop,
    kill,
    start: launch,
    signal: (signal) => {
      if (server) process.kill(server.pid, signal)
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  }
}

/** Ends with this process, even if that is killed. */
export function startTied(command: string, args: readonly string[], options: RunOptions): Running {
  return start('setpriv', ['--pdeathsig', 'TERM', command, ...args], options)
}
