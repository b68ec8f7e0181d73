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

/** The name of the file that a mark is. It starts with a dot, as no key does. */
export function markName(id: string): string {
  return `.store-${id}`
}

/** Its content, for people who come across it. */
export const MARK_TEXT = Buffer.from('By this file Vitrine knows the store again.\n')
