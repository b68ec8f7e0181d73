// Where rendered files live. Keys are made by the pipeline, never reused, and never come from outside
// unchecked: an adapter refuses a key that is not of the form below.

/** Segments of `A–Z a–z 0–9 . _ -`, none of them starting with a dot, joined by `/`; at most 512 characters. */
export const STORAGE_KEY =
  /^(?=.{1,512}$)[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/

export interface StoredFile {
  /** Bytes of the whole file. */
  size: number
  contentType: string
  /** The bytes from `start` to `end`, both inclusive; the whole file without them. */
  read(range?: { start: number; end: number }): AsyncIterable<Uint8Array>
}

export interface Storage extends AsyncDisposable {
  /** Stores a file whole or not at all; a second put under the same key replaces it. Throws `storage_failed`. */
  put(
    key: string,
    body: Uint8Array,
    options: { contentType: string; signal?: AbortSignal },
  ): Promise<void>
  /** The file, or undefined when there is none. Throws `storage_failed` when that cannot be told. */
  open(key: string): Promise<StoredFile | undefined>
  /** Removes the file; not an error when there is none. Throws `storage_failed`. */
  remove(key: string): Promise<void>
  /** A URL reference for the file: absolute, or a path on this service. Pure. */
  url(key: string): string
  /** Resolves when files can be written; throws `storage_failed` otherwise. */
  ping(): Promise<void>
}
