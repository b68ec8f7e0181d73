// The stages of one attempt, in order, outside any transaction: download → inspect → render → store.
// What was reached, how long each took and what the origin said is noted on the way.

import type { Db } from '../database/database.ts'
import { isAppError } from '../errors.ts'
import type { AttemptStage } from '../images/image.ts'
import type { AttemptReport } from '../images/image-moves.ts'
import type { Wait } from '../lib/allowance.ts'
import { createBackoff } from '../lib/backoff.ts'
import type { Logger } from '../observability/logger.ts'
import type { Outbound } from '../outbound/outbound.ts'
import type { Storage } from '../storage/storage.ts'
import { download, orTruncated } from './download.ts'
import { findShared, reserve } from './objects.ts'
import type { Preset } from './presets.ts'
import type { PictureFormat, Renderer } from './renderer.ts'

export interface StagesOptions {
  db: Db
  outbound: Outbound
  renderer: Renderer
  storage: Storage
  presets: readonly Preset[]
  download: { maxBytes: number; timeoutMs: number }
  log: Pick<Logger, 'warn'>
}

/** What a picture became: the source's facts, and the objects that hold its renditions. */
export interface StagesResult {
  image: { width: number; height: number; bytes: number; format: PictureFormat; thumbhash: string }
  objects: { id: string; preset: string }[]
}

export interface Progress {
  enter(stage: AttemptStage): void
  /** Books the time until then as `wait` instead of the stage's. One wait at a time. */
  wait: Wait
  /** What the origin answered and how much came. */
  note(facts: { httpStatus?: number; bytes?: number }): void
  report(): AttemptReport
}

export interface Stages {
  begin(): Progress
  /** Throws AppErrors with image codes; rejects with the signal's reason when that aborts. */
  run(attempt: {
    url: string
    /** The file to download to; removing it is the caller's. */
    path: string
    progress: Progress
    signal: AbortSignal
    /** Is given what has to be waited for, a place at the host or a child: not of the attempt's time. */
    wait: Wait
  }): Promise<StagesResult>
}

export function createStages(options: StagesOptions): Stages {
  const { db, outbound, renderer, storage, presets, download: limits, log } = options
  return {
    begin: createProgress,
    run: async ({ url, path, progress, signal, wait }) => {
      const turn = { signal, wait: <T>(it: Promise<T>) => wait(progress.wait(it)) }
      progress.enter('download')
      const told = { ...turn, onProgress: progress.note }
      const source = await download(outbound, url, { path, ...limits, ...told })

      progress.enter('inspect')
      const { format, width, height } = await orTruncated(source, renderer.inspect(path, turn))
      const facts = { width, height, bytes: source.bytes, format }

      progress.enter('store')
      const files = { db, storage, log }
      const shared = await untilReachable(() => findShared(files, source.sha256, presets), signal)
      const [first] = shared ?? []
      if (shared && first)
        return { image: { ...facts, thumbhash: first.thumbhash }, objects: shared }

      progress.enter('render')
      const rendered = await orTruncated(source, renderer.render(path, presets, turn))

      progress.enter('store')
      const reserved = { sourceSha256: source.sha256, ...rendered }
      const objects = await untilReachable(() => reserve(db, reserved, presets), signal)
      for (const { key, file } of objects) {
        await storage.put(key, file.body, { contentType: `image/${file.format}`, signal })
      }
      return { image: { ...facts, thumbhash: rendered.thumbhash }, objects }
    },
  }
}

const PAUSES = { firstMs: 100, longestMs: 2_000 }

/**
 * Asks again while the database is away: what was fetched and rendered by then is worth a wait. The
 * signal ends it, at the latest when the lease runs out. For what may have happened although it failed.
 */
async function untilReachable<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const backoff = createBackoff({ ...PAUSES, signal })
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!isAppError(error, 'unavailable')) throw error
    }
    await backoff.pause()
    signal.throwIfAborted()
  }
}

/** What time is spent on. */
type Account = AttemptStage | 'wait'

function createProgress(): Progress {
  let stage: AttemptStage = 'claim'
  let account: Account = 'claim'
  let since = performance.now()
  const spentMs = new Map<Account, number>()
  const facts: { httpStatus: number | null; bytes: number | null } = {
    httpStatus: null,
    bytes: null,
  }
  const book = (next: Account) => {
    const now = performance.now()
    spentMs.set(account, (spentMs.get(account) ?? 0) + now - since)
    since = now
    account = next
  }
  return {
    enter: (next) => {
      book(next)
      stage = next
    },
    wait: async (turn) => {
      book('wait')
      try {
        return await turn
      } finally {
        book(stage)
      }
    },
    note: ({ httpStatus, bytes }) => {
      facts.httpStatus = httpStatus ?? facts.httpStatus
      facts.bytes = bytes ?? facts.bytes
    },
    report: () => {
      book(account)
      const timings = [...spentMs].map(([name, ms]) => [name, Math.round(ms * 10) / 10])
      return { stage, ...facts, timings: Object.fromEntries(timings) }
    },
  }
}
