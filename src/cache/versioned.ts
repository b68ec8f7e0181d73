// What a cache keeps: a value that knows which version of the truth it shows.

export interface Versioned {
  readonly version: number
  /** When it may not be served any more, in milliseconds since 1970; undefined for what does not end by itself. */
  readonly goodUntil?: number | undefined
}

/** Whether it may still be served, by the clock of this machine. */
export function isGood({ goodUntil }: Versioned): boolean {
  return goodUntil === undefined || goodUntil > Date.now()
}
