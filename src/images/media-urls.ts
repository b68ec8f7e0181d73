// From stored file to public URL. The database keeps keys and references (a path when we serve the files
// ourselves); URLs are made only on the way out, so a file store that moves house keeps its catalogue.

import type { Storage } from '../storage/storage.ts'
import type { ImageDocument } from './image.ts'
import type { StoredImage } from './image-store.ts'

export interface MediaUrls {
  /** A file's URL reference, as the database keeps it, is this and its key. */
  prefix: string
  /** The public URL of a file is this and its key, and where files are private a signature. */
  base: string
  /** The settings that show in signatures; undefined where files are public. */
  signing: string | undefined
  /**
   * Until when an answer with URLs that are made now may be given, in milliseconds since 1970; undefined
   * where URLs do not end. Of one `period`, all answers with the same files have the same URLs.
   */
  goodUntil(): number | undefined
  /** Tells the URLs that are made now from those of another period or another key; undefined where URLs do not end. */
  period(): string | undefined
  /** The image as clients see it. */
  present(image: StoredImage): ImageDocument
}

export interface MediaUrlsOptions {
  storage: Pick<Storage, 'urlPrefix' | 'signer'>
  publicUrl: string
}

export function createMediaUrls({ storage, publicUrl }: MediaUrlsOptions): MediaUrls {
  const { urlPrefix: prefix, signer } = storage
  const base = prefix.startsWith('/') ? publicUrl.replace(/\/+$/, '') + prefix : prefix
  const urlOf = signer ? signer.sign : (key: string) => base + key
  return {
    prefix,
    base,
    signing: signer?.form,
    goodUntil: () => signer?.periodEnd(),
    period: () => signer?.periodId(),
    present: (image) => ({
      ...image,
      renditions: image.renditions.map(({ preset, key, ...rest }) => ({
        preset,
        url: urlOf(key),
        ...rest,
      })),
    }),
  }
}
