// A folder with all that is above it.

import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Makes what is missing of an absolute path; a folder that is there is left as it is. Throws what the
 * operating system says. (The recursive `mkdir` of Node.js goes round for ever where a folder that exists
 * takes no new ones and says ENOENT, as `/proc` does.)
 */
export async function makeFolder(path: string, mode = 0o777): Promise<void> {
  let error = await tryMake(path, mode)
  if (error?.code === 'ENOENT' && dirname(path) !== path) {
    await makeFolder(dirname(path))
    error = await tryMake(path, mode)
  }
  if (error && !(await isFolder(path))) throw error
}

async function tryMake(path: string, mode: number): Promise<NodeJS.ErrnoException | undefined> {
  return await mkdir(path, { mode }).then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error,
  )
}

/** Through a link too. */
async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}
