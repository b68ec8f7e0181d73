// What an edit of a product's picture list means for its images. A URL that stays keeps its image and
// its results; the same URL twice is two pictures.

/** An image of the list as it was. */
export interface StoredImageRef {
  id: string
  sourceUrl: string
}

export interface PictureChanges {
  /** In the order of the new list. */
  kept: { id: string; position: number }[]
  added: { sourceUrl: string; position: number }[]
  dropped: string[]
}

/** `current` in picture order. Of equal URLs the first is kept first. */
export function reconcile(
  current: readonly StoredImageRef[],
  wanted: readonly string[],
): PictureChanges {
  const byUrl = new Map<string, string[]>()
  for (const { id, sourceUrl } of current) {
    const ids = byUrl.get(sourceUrl)
    if (ids) ids.push(id)
    else byUrl.set(sourceUrl, [id])
  }
  const changes: PictureChanges = { kept: [], added: [], dropped: [] }
  wanted.forEach((sourceUrl, position) => {
    const id = byUrl.get(sourceUrl)?.shift()
    if (id === undefined) changes.added.push({ sourceUrl, position })
    else changes.kept.push({ id, position })
  })
  changes.dropped = [...byUrl.values()].flat()
  return changes
}
