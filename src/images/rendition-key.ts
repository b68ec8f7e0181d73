// The key of a rendition's file: how it is made, and how it is told from whatever else a store may hold.

import { randomBytes } from 'node:crypto'

/** What every key has the form of that `freshRenditionKey` makes or ever made. */
export const RENDITION_KEY =
  /^renditions\/([0-9a-f]{2})\/\1[0-9a-f]{62}\/[A-Za-z0-9][A-Za-z0-9_-]*-[0-9a-f]{16}\.[a-z]+$/

export interface RenditionKeyParts {
  /** Of the picture that the rendition was made from. */
  sourceSha256: string
  preset: string
  format: string
}

/** A key that no file has had yet. */
export function freshRenditionKey({ sourceSha256, preset, format }: RenditionKeyParts): string {
  const extension = format === 'jpeg' ? 'jpg' : format
  const random = randomBytes(8).toString('hex')
  return `renditions/${sourceSha256.slice(0, 2)}/${sourceSha256}/${preset}-${random}.${extension}`
}
