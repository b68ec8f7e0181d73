// From stored file to public URL. The database keeps references (a path when we serve the files
// ourselves); they become absolute only on the way out, so a file store that moves house keeps its catalogue.

import type { ImageDocument } from './image.ts'
import type { StoredImage } from './image-store.ts'

export interface MediaUrls {
  /** A file's URL reference is this and its key. */
  prefix: string
  /** The absolute URL of a reference. */
  resolve(reference: string): string
  /** The image as clients see it. */
  present(image: StoredImage): ImageDocument
}

export function createMediaUrls({
  prefix,
  publicUrl,
}: {
  prefix: string
  publicUrl: string
}): MediaUrls {
  const base = publicUrl.replace(/\/+$/, '')
  const resolve = (reference: string) => (reference.startsWith('/') ? base + reference : reference)
  return {
    prefix,
    resolve,
    present: (image) => ({
      ...image,
      renditions: image.renditions.map(({ preset, key, ...rest }) => ({
        preset,
        url: resolve(prefix + key),
        ...rest,
      })),
    }),
  }
}
