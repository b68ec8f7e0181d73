// How far a long command has come: one line that is written over on a terminal, a line now and then
// where the output is kept.

const BAR_WIDTH = 24
const TERMINAL_EVERY_MS = 250
const LOG_EVERY_MS = 10_000

export interface Amount {
  /** What is counted for people: products. */
  count: number
  /** Of `total`, in whatever unit that has. */
  done: number
}

export interface Progress extends Disposable {
  update(amount: Amount): void
  /** Prints a line of its own. */
  note(text: string): void
}

export interface ProgressOptions {
  /** What is counted, in the plural. */
  unit: string
  /** Undefined when nobody knows: there is no bar and no time left then. */
  total: number | undefined
  out: { isTTY?: boolean; write(text: string): unknown }
  now?: () => number
}

export function createProgress({
  unit,
  total,
  out,
  now = () => performance.now(),
}: ProgressOptions): Progress {
  const startedAt = now()
  let shownAt = startedAt
  let bar = ''
  const overwrite = (text: string) => out.write(`\r\u001b[K${text}`)
  return {
    update: (amount) => {
      if (now() - shownAt < (out.isTTY ? TERMINAL_EVERY_MS : LOG_EVERY_MS)) return
      shownAt = now()
      const state = describeProgress(amount, { unit, total, elapsedMs: shownAt - startedAt })
      if (!out.isTTY) out.write(`${state}\n`)
      else {
        bar = total === undefined ? state : `${drawBar(amount.done / Math.max(1, total))} ${state}`
        overwrite(bar)
      }
    },
    note: (text) => {
      if (bar === '') out.write(`${text}\n`)
      else overwrite(`${text}\n${bar}`)
    },
    [Symbol.dispose]: () => {
      if (bar !== '') overwrite('')
    },
  }
}

function describeProgress(
  { count, done }: Amount,
  { unit, total, elapsedMs }: { unit: string; total: number | undefined; elapsedMs: number },
): string {
  const share = total === undefined || total === 0 ? undefined : Math.min(1, done / total)
  const parts = [`${grouped(count)} ${unit}`, `${grouped(rateOf(count, elapsedMs))}/s`]
  if (share !== undefined) {
    parts.unshift(`${Math.floor(share * 100)} %`)
    if (share > 0) parts.push(`${clock((elapsedMs / share) * (1 - share))} left`)
  }
  return parts.join('  ')
}

function drawBar(share: number): string {
  const filled = Math.round(Math.min(1, share) * BAR_WIDTH)
  return `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}]`
}

/** Whole ones a second. */
export function rateOf(count: number, elapsedMs: number): number {
  return Math.round((count * 1_000) / Math.max(1, elapsedMs))
}

/** `1,234,567` in any locale. */
export function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** `0:07`, `12:30`, `3:04:05`. */
export function clock(ms: number): string {
  const seconds = Math.round(ms / 1_000)
  const pad = (value: number) => String(value).padStart(2, '0')
  const minutes = Math.floor(seconds / 60) % 60
  const hours = Math.floor(seconds / 3_600)
  return hours > 0
    ? `${hours}:${pad(minutes)}:${pad(seconds % 60)}`
    : `${minutes}:${pad(seconds % 60)}`
}
