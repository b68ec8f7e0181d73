// The port of a cache that several processes share. It holds what may be lost at any time, and nothing
// that is not in the database; what keeps it from ever holding something old is the token: whoever misses
// leaves one, only who has it may fill, and every change of the value takes it away.

/** A value, and the version of what it shows. */
export interface SharedEntry {
  readonly version: number
  readonly bytes: Buffer
  /**
   * When it must be gone, in milliseconds since 1970 by the clock of this machine: the cache keeps how long
   * that is, and who finds it is told no later a time. Undefined for what does not end by itself.
   */
  readonly goodUntil?: number | undefined
}

/** What a look found: the value, or the token to fill its place with. */
export type Looked = { readonly entry: SharedEntry } | { readonly token: string }

/**
 * One connection to the cache. It is not mended: once `ended` resolves every call throws, and whoever needs
 * another opens it, and has to catch up, because the cache that it finds may hold less, or older things.
 * Every call throws `unavailable` when the cache does not do it; none has a deadline of its own.
 */
export interface CacheConnection extends AsyncDisposable {
  /** What is held of at least that version. For what is not, a token is left, for as long as any load may take. */
  look(key: string, floor: number): Promise<Looked>
  /** Puts the value where its token still lies. False: it was changed since, or forgotten. */
  fill(key: string, token: string, entry: SharedEntry): Promise<boolean>
  /** Takes away the token, or the value if it is older than that version. */
  drop(key: string, version: number): Promise<void>
  /** `drop`, and tells all connections that listen, this one included. */
  announce(key: string, version: number): Promise<void>
  /** Takes away everything that was there when it began, tokens too, but not the place. */
  flush(): Promise<void>
  /** The place in the log of changes up to which all of them were dropped from what is held now. */
  place(): Promise<LogPosition | undefined>
  /**
   * Moves the place on to `to`, unless it is further already. False, and nothing is moved, when it is not
   * at `from` or behind it in the same log: what is held may be another cache's, or an old copy's.
   */
  advance(from: LogPosition | undefined, to: LogPosition): Promise<boolean>
  ping(): Promise<void>
  /** Resolves once the connection is lost or closed; nothing is heard from then on. Never rejects. */
  readonly ended: Promise<void>
}

/** A place in a log of changes: everything up to `id`. */
export interface LogPosition {
  /** Hexadecimal digits: another log, or one that was restored, has others. */
  readonly epoch: string
  readonly id: number
}

export interface SharedCache {
  /** Shown in logs: where it is, without secrets. */
  readonly name: string
  /**
   * Connects and listens. `heard` is called for each announcement from then on. Throws `unavailable`; an
   * Error of another kind for what an operator has to mend.
   */
  connect(heard: (key: string, version: number) => void): Promise<CacheConnection>
}
