// A picture child as its parent sees it: one request at a time, each with a deadline. Whatever is not
// a proper answer in time (silence, garbage, an abort) ends in SIGKILL, and an ended child is never reused.

import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { type ChildEnd, failureOfEnd } from './render-failures.ts'
import { ProtocolViolation, type RenderRequest, readReady } from './render-messages.ts'
import { createFrameReader, encodeFrame, type Frame } from './render-protocol.js'

export interface ChildCommand {
  file: string
  args: readonly string[]
  environment: Readonly<Record<string, string>>
}

export interface Deadline {
  timeoutMs: number
  /** Its abort kills the child and rejects with its reason. */
  signal: AbortSignal
}

const answerLimits = { maxMessageBytes: 65_536, maxBodyBytes: 64 * 1024 * 1024 }
const keptStderr = 2000
/** For what an ended child left in its pipes. A process of its own making may hold them open for ever. */
const drainMs = 100

/** Starts a child; resolves once it has loaded everything. Throws as `request` does. */
export async function startRenderChild(
  command: ChildCommand,
  deadline: Deadline,
): Promise<RenderChild> {
  deadline.signal.throwIfAborted()
  const child = new RenderChild(command)
  await child.request(undefined, readReady, deadline)
  return child
}

export class RenderChild implements AsyncDisposable {
  /** Resolves once the process is gone; never rejects. */
  readonly ended: Promise<ChildEnd>
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #readFrames = createFrameReader(answerLimits)
  #killedFor: ChildEnd['killedFor']
  #hasEnded = false
  #stderr = ''
  /** Waits for the next frame; undefined when the child has died instead. */
  #waiting: PromiseWithResolvers<Frame | undefined> | undefined

  constructor({ file, args, environment }: ChildCommand) {
    this.#process = spawn(file, args, {
      env: { ...environment },
      cwd: '/',
      stdio: ['pipe', 'pipe', 'pipe'],
      // A session of its own: Ctrl-C in a terminal is for the parent, which lets running work finish.
      detached: true,
    })
    this.ended = this.#watchEnd()
    this.#process.stdin.on('error', () => {})
    this.#process.stdout.on('data', (chunk: Buffer) => this.#receive(chunk))
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-keptStderr)
    })
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  /** False once it has ended or was told to. */
  get isUsable(): boolean {
    return !this.#hasEnded && this.#killedFor === undefined
  }

  /**
   * Sends a message (none: waits for the child's first word) and reads the answer. Throws
   * `render_timeout`, `render_out_of_memory` or `render_crashed`; the child is gone then.
   */
  async request<T>(
    message: RenderRequest | undefined,
    read: (frame: Frame) => T,
    { timeoutMs, signal }: Deadline,
  ): Promise<T> {
    signal.throwIfAborted()
    const timer = setTimeout(() => this.#kill('timeout'), timeoutMs)
    const onAbort = () => this.#kill('abort')
    signal.addEventListener('abort', onAbort)
    try {
      const frame = await this.#exchange(message)
      if (frame) return read(frame)
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error
      this.#kill('violation')
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
    const end = await this.ended
    if (end.killedFor === 'abort') throw signal.reason
    if (end.killedFor === 'disposal') throw new Error('the picture child was closed')
    throw failureOfEnd(end)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill('disposal')
    await this.ended
  }

  #exchange(message: RenderRequest | undefined): Promise<Frame | undefined> {
    if (this.#waiting) throw new Error('a picture child takes one request at a time')
    if (this.#hasEnded) return Promise.resolve(undefined)
    this.#waiting = Promise.withResolvers()
    if (message) this.#process.stdin.write(encodeFrame(message))
    return this.#waiting.promise
  }

  #receive(chunk: Buffer): void {
    if (!this.isUsable) return
    try {
      for (const frame of this.#readFrames(chunk)) {
        // A word out of turn comes from a child that no longer runs our code.
        if (!this.#waiting) throw new ProtocolViolation('an answer to no question')
        this.#settle(frame)
      }
    } catch {
      this.#kill('violation')
    }
  }

  #settle(frame: Frame | undefined): void {
    this.#waiting?.resolve(frame)
    this.#waiting = undefined
  }

  #kill(reason: NonNullable<ChildEnd['killedFor']>): void {
    if (!this.isUsable) return
    this.#killedFor = reason
    this.#process.kill('SIGKILL')
  }

  async #watchEnd(): Promise<ChildEnd> {
    const child = this.#process
    const { promise, resolve } = Promise.withResolvers<Pick<ChildEnd, 'code' | 'signal'>>()
    child.on('close', (code, signal) => resolve({ code, signal }))
    child.on('exit', () => setTimeout(() => this.#closePipes(), drainMs).unref())
    child.on('error', (error) => {
      // Also emitted when a signal cannot be sent; only a failed spawn leaves no process behind.
      if (child.pid !== undefined) return
      this.#stderr = error.message
      resolve({ code: null, signal: null })
    })
    const end = await promise
    this.#hasEnded = true
    this.#settle(undefined)
    return { killedFor: this.#killedFor, ...end, stderr: this.#stderr }
  }

  #closePipes(): void {
    this.#process.stdout.destroy()
    this.#process.stderr.destroy()
  }
}
