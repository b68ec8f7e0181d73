// The picture children of this process: at most so many, started as they are needed, one picture at a
// time each, replaced when they die or have served enough. Requests are served in the order of asking.

import { AppError } from '../errors.ts'
import type { Logger } from '../observability/logger.ts'
import type { RenderChild } from './render-child.ts'
import { describeEnd } from './render-failures.ts'
import type { Turn } from './renderer.ts'

export interface RenderPoolOptions {
  /** Starts a child that is ready to serve. Called for one child at a time. */
  start(signal: AbortSignal): Promise<RenderChild>
  processes: number
  /** After so many requests a child is replaced: what native code leaks, or was made to keep, ends. */
  requestsPerChild: number
  /** Monotonic milliseconds. */
  clock: { now(): number }
  log: Logger
}

interface Waiter {
  serve(child: RenderChild): void
  refuse(error: unknown): void
}

const firstBackoffMs = 1_000
const longestBackoffMs = 30_000

export class RenderPool implements AsyncDisposable {
  readonly #options: RenderPoolOptions
  readonly #closing = new AbortController()
  /** All that run, with the number of requests they have served. */
  readonly #children = new Map<RenderChild, number>()
  readonly #idle: RenderChild[] = []
  readonly #waiting: Waiter[] = []
  #starting: Promise<void> | undefined
  #failedStarts = 0
  /** By the clock: no child is started before, because the last one could not be. */
  #startAgainAt = 0
  #startError: unknown

  constructor(options: RenderPoolOptions) {
    this.#options = options
  }

  /** Starts the first child, so that the first picture need not wait for it. */
  warm(): void {
    if (this.#children.size === 0) this.#startOne()
  }

  /**
   * Runs `work` with a child of its own. Rejects with the signal's reason when it aborts while waiting;
   * throws `unavailable` when no child can be started.
   */
  async use<T>(
    work: (child: RenderChild) => Promise<T>,
    { signal, wait = (turn) => turn }: Turn,
  ): Promise<T> {
    const child = await wait(this.#acquire(signal))
    try {
      return await work(child)
    } finally {
      this.#release(child)
    }
  }

  /** Refuses who waits, kills the children and waits for their end. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Error('the picture children are closed')
    this.#closing.abort(closed)
    this.#refuseAll(closed)
    await this.#starting
    await Promise.all([...this.#children.keys()].map((child) => child[Symbol.asyncDispose]()))
  }

  #acquire(signal: AbortSignal): Promise<RenderChild> {
    signal.throwIfAborted()
    this.#closing.signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<RenderChild>()
    const leave = () => {
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1)
      reject(signal.reason)
    }
    const waiter: Waiter = {
      serve: (child) => {
        signal.removeEventListener('abort', leave)
        resolve(child)
      },
      refuse: (error) => {
        signal.removeEventListener('abort', leave)
        reject(error)
      },
    }
    signal.addEventListener('abort', leave, { once: true })
    this.#waiting.push(waiter)
    this.#pump()
    return promise
  }

  #release(child: RenderChild): void {
    const served = (this.#children.get(child) ?? 0) + 1
    if (!child.isUsable || served >= this.#options.requestsPerChild) {
      // Its place is free once it is gone, see #watch.
      void child[Symbol.asyncDispose]()
      return
    }
    this.#children.set(child, served)
    this.#idle.push(child)
    this.#pump()
  }

  #pump(): void {
    while (this.#waiting.length > 0) {
      const child = this.#idle.pop()
      if (!child) break
      if (child.isUsable) this.#waiting.shift()?.serve(child)
    }
    if (this.#waiting.length === 0) return
    if (this.#children.size < this.#options.processes) this.#startOne()
  }

  #startOne(): void {
    if (this.#starting || this.#closing.signal.aborted) return
    if (this.#options.clock.now() < this.#startAgainAt) {
      this.#refuseUnserved()
      return
    }
    this.#starting = this.#start().finally(() => {
      this.#starting = undefined
      this.#pump()
    })
  }

  async #start(): Promise<void> {
    try {
      const child = await this.#options.start(this.#closing.signal)
      this.#failedStarts = 0
      this.#children.set(child, 0)
      this.#idle.push(child)
      void this.#watch(child)
    } catch (error) {
      if (this.#closing.signal.aborted) return
      const backoffMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** this.#failedStarts++)
      this.#startAgainAt = this.#options.clock.now() + backoffMs
      this.#startError = error
      this.#options.log.error(
        { err: error, backoff_ms: backoffMs },
        'no picture child can be started',
      )
    }
  }

  async #watch(child: RenderChild): Promise<void> {
    const end = await child.ended
    this.#children.delete(child)
    const at = this.#idle.indexOf(child)
    if (at >= 0) this.#idle.splice(at, 1)
    if (end.killedFor !== 'disposal' && end.killedFor !== 'abort') {
      this.#options.log.warn({ pid: child.pid }, `a picture child ended: ${describeEnd(end)}`)
    }
    this.#pump()
  }

  /** While other children run, who waits will be served by them. */
  #refuseUnserved(): void {
    if (this.#children.size > 0) return
    const retryAfterMs = Math.ceil(this.#startAgainAt - this.#options.clock.now())
    const options = { retryAfterMs, cause: this.#startError }
    this.#refuseAll(new AppError('unavailable', 'No picture can be processed at present.', options))
  }

  #refuseAll(error: unknown): void {
    for (const waiter of this.#waiting.splice(0)) waiter.refuse(error)
  }
}
