// The names of files in a storage, and what they say.

import { STORAGE_KEY } from './storage.ts'

const contentTypes: Readonly<Record<string, string>> = {
  jpg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  gif: 'image/gif',
  avif: 'image/avif',
}

/** Throws a defect: whoever takes a key from outside checks it first. */
export function assertStorageKey(key: string): void {
  if (!STORAGE_KEY.test(key)) throw new TypeError(`not a storage key: ${JSON.stringify(key)}`)
}

/** The type that a key's extension stands for; undefined for a key that no file is ever put under. */
export function contentTypeOfKey(key: string): string | undefined {
  const extension = /\.([a-z]+)$/.exec(key)?.[1]
  return extension === undefined ? undefined : contentTypes[extension]
}

/** Throws a defect when a file would come back with another type than it was put with. */
export function assertContentType(key: string, contentType: string): void {
  if (contentTypeOfKey(key) !== contentType)
    throw new TypeError(`a file of type ${contentType} does not belong under the key ${key}`)
}

/** How the names of the files that are marks begin: with a dot, as no key does. */
export const MARK_PREFIX = '.store-'

export function markName(id: string): string {
  return MARK_PREFIX + id
}

/** The ids of those among the names that are marks. */
export function markIds(names: readonly string[]): string[] {
  const marks = names.filter((name) => name.startsWith(MARK_PREFIX))
  return marks.map((name) => name.slice(MARK_PREFIX.length))
}

/** Its content, for people who come across it. */
export const MARK_TEXT = Buffer.from('By this file Vitrine knows the store again.\n')
