// The ids that a reader of the log skipped so far: drawn by transactions that were still under way, or
// that rolled back. Kept as ranges, because one rollback may leave a million of them.

import type { IdRange } from './log.ts'

export interface Holes {
  /** In order, without overlap. */
  readonly ranges: readonly IdRange[]
  /** The ids after `last` and before `next` were skipped. Later calls are about higher ids. */
  skip(last: number, next: number): void
  /** An id was seen after all. */
  fill(id: number): void
  /** Nothing will come any more up to this id. */
  forgetThrough(id: number): void
}

export function createHoles(): Holes {
  let ranges: IdRange[] = []
  return {
    get ranges() {
      return ranges
    },
    skip: (last, next) => {
      if (next - last > 1) ranges.push({ from: last + 1, to: next - 1 })
    },
    fill: (id) => {
      const at = ranges.findIndex(({ from, to }) => from <= id && id <= to)
      const range = ranges[at]
      if (!range) return
      const rest = [
        { from: range.from, to: id - 1 },
        { from: id + 1, to: range.to },
      ]
      ranges.splice(at, 1, ...rest.filter(({ from, to }) => from <= to))
    },
    forgetThrough: (id) => {
      ranges = ranges
        .filter(({ to }) => to > id)
        .map(({ from, to }) => ({ from: Math.max(from, id + 1), to }))
    },
  }
}
