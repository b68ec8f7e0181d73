// The folder of an embedded database: locked, and either fully initialised or not there at all.

import { chmod, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { makeFolder } from '../lib/make-folder.ts'
import { takeLock } from './pglite-lock.ts'

const PRIVATE = 0o700

/**
 * Locks `directory` and has `initialise` make it first if it is new: in `<directory>.init`, which is
 * renamed when complete, because a kill in mid-initialisation leaves a folder that never opens.
 * Throws an Error for the operator when the folder is in use or holds something else.
 */
export async function claimFolder(
  directory: string,
  initialise: (directory: string) => Promise<void>,
): Promise<Disposable> {
  const folder = resolve(directory)
  await makeFolder(dirname(folder)).catch((cause: Error) => {
    throw new Error(
      `the data folder ${dirname(folder)} cannot be made: ${cause.message}; choose another DATA_DIR`,
      { cause },
    )
  })
  const lock = takeLock(`${folder}.lock`)
  if (!lock)
    throw new Error(
      `the database folder ${folder} is in use by another process: stop that one, or give this one another DATA_DIR; to run several, use PostgreSQL (DATABASE_URL)`,
    )
  try {
    await prepare(folder, initialise)
    return lock
  } catch (error) {
    lock[Symbol.dispose]()
    throw error
  }
}

async function prepare(
  folder: string,
  initialise: (directory: string) => Promise<void>,
): Promise<void> {
  const unfinished = `${folder}.init`
  await rm(unfinished, { recursive: true, force: true })
  const files = await readdir(folder).catch(ignoreMissing)
  if (files.includes('PG_VERSION')) return await keepPrivate(folder)
  if (files.length > 0)
    throw new Error(
      `the folder ${folder} holds something else than a database: move it away, or choose another DATA_DIR`,
    )
  await mkdir(unfinished, { mode: PRIVATE })
  await initialise(unfinished)
  await keepPrivate(unfinished)
  await rename(unfinished, folder)
}

/**
 * PGlite makes its files writable to everybody. In a folder that only we may enter they are out of reach
 * of other users, the picture children among them.
 */
async function keepPrivate(folder: string): Promise<void> {
  await chmod(folder, PRIVATE)
}

function ignoreMissing(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return []
  throw error
}
