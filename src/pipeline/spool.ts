// The folder where pictures lie while they are worked on. A worker that was killed leaves its files
// behind; the next start removes what no attempt can still be using.

import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Removes files untouched for `olderThanMs`; other workers may share the folder. Returns how many. */
export async function emptySpool(directory: string, olderThanMs: number): Promise<number> {
  const names = await readdir(directory).catch(() => [])
  const oldest = Date.now() - olderThanMs
  let removed = 0
  for (const name of names) {
    const path = join(directory, name)
    // Gone already: its attempt has just ended.
    const file = await stat(path).catch(() => undefined)
    if (!file?.isFile() || file.mtimeMs > oldest) continue
    await rm(path, { force: true })
    removed++
  }
  return removed
}
