// Where rendered files live. Keys are made by the pipeline, never reused, and never come from outside
// unchecked: an adapter refuses a key that is not of the form below.

/**
 * Segments of `A–Z a–z 0–9 . _ -`, none of them starting with a dot, at most 255 characters each, joined
 * by `/`; at most 512 characters in all.
 */
export const STORAGE_KEY =
  /^(?=.{1,512}$)[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]{0,254})*$/

/** The path below which this service serves the files that it keeps itself. */
export const MEDIA_PATH = '/media/'

export interface StoredFile {
  /** Bytes of the whole file. */
  size: number
  contentType: string
  /**
   * The bytes from `start` to `end`, both inclusive and inside the file (else a RangeError); the whole
   * file without them. Throws `storage_failed` when the file was replaced or removed since it was opened.
   */
  read(range?: ByteRange): AsyncIterable<Uint8Array>
}

export interface ByteRange {
  start: number
  end: number
}

export interface ListedFile {
  key: string
  /** When it was put, by the clock of the storage. */
  putAt: Date
}

export interface PutOptions {
  /** What the extension of the key stands for, by the table in keys.ts: the key alone must tell the type. */
  contentType: string
  signal?: AbortSignal
}

/**
 * Signs URLs of files. Those of one period are the same, so that clients and proxies may keep what they
 * got, and each lives on for a period after its own.
 */
export interface UrlSigner {
  /** The settings that show in its URLs: signers that differ in it make different ones. */
  readonly form: string
  sign(key: string): string
  /** Of all signers of one form, those whose URLs are the same for now: by the period and the key that signs, of which it tells nothing. */
  periodId(): string
  /** When the period ends, in milliseconds since 1970 by the clock of this machine: an answer with signed URLs is given until then and not again. */
  periodEnd(): number
}

/** Methods throw a plain error, a defect, for a key that is not a STORAGE_KEY and after disposal. */
export interface Storage extends AsyncDisposable {
  /**
   * Stores a file whole or not at all, and durably; a second put under the same key replaces it.
   * Throws `storage_failed`, or the signal's reason when that was first.
   */
  put(key: string, body: Uint8Array, options: PutOptions): Promise<void>
  /** The file, or undefined when there is none. Throws `storage_failed` when that cannot be told. */
  open(key: string): Promise<StoredFile | undefined>
  /** Removes the file; not an error when there is none. Throws `storage_failed`. */
  remove(key: string): Promise<void>
  /**
   * Every file, once, in no order; one that is put or removed meanwhile may be among them or not.
   * What lies there without having been put is left out. Throws `storage_failed`.
   */
  list(): AsyncIterable<ListedFile>
  /** Leaves a mark by which this store is told from others: no file that has a key, is listed or served. Throws `storage_failed`. */
  mark(id: string): Promise<void>
  /** The ids of all marks that were left here. Throws `storage_failed` when it cannot be told. */
  marks(): Promise<string[]>
  /** A file's URL reference is this and its key, which needs no encoding: absolute, or a path on this service. */
  readonly urlPrefix: string
  /** Makes the URLs that clients get where the files are private; undefined where the reference is enough. */
  readonly signer?: UrlSigner
  /** Where it is, for the operator. */
  readonly place: string
  /** Resolves when files can be written; throws `storage_failed` otherwise, within seconds. */
  ping(): Promise<void>
  /** Refuses new calls and resolves once the puts and removes under way have ended. */
  [Symbol.asyncDispose](): Promise<void>
}
