// `vitrine storage sweep`: removes, or lists, the stored files that nothing uses any more.

import { checkStore, tellOthers } from '../app/store-mark.ts'
import type { Config } from '../config/config.ts'
import type { Database } from '../database/database.ts'
import { findStrayFiles, type StrayFilesOptions } from '../pipeline/stray-files.ts'
import { findUnused, sweepGraceMs, sweepObjects } from '../pipeline/sweep.ts'
import { openStorage } from '../storage/open.ts'
import type { Storage } from '../storage/storage.ts'
import { openCatalogueDatabase } from './catalogue-database.ts'
import { defineCommand } from './command.ts'
import { loadSettings } from './load-settings.ts'

export const storageSweepCommand = defineCommand({
  name: 'storage sweep',
  summary: 'remove stored files that nothing uses any more',
  options: {
    'dry-run': { type: 'boolean', description: 'list the files, remove none' },
    deep: {
      type: 'boolean',
      description: 'also files older than a day that the database does not know',
    },
    json: { type: 'boolean', description: 'print one JSON object' },
  },
  details: `Workers sweep by themselves, once an hour; this does it now. Files that a running attempt may need
are left alone. --deep reads the names of all files: it is for a storage that belongs to this
database alone, and refuses one that carries the mark of another, or of which it knows no file.`,
  run: async ({ values, signal }) => {
    const { config } = loadSettings()
    const report = await sweep(config, {
      dryRun: values['dry-run'] === true,
      deep: values.deep === true,
      signal,
      tell: values.json ? () => {} : (key) => process.stdout.write(`${key}\n`),
    })
    process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : sentenceOf(report))
    if (!report.complete) throw signal.reason
    return 0
  },
})

interface Report {
  dry_run: boolean
  /** False when it was stopped: what follows is what was done until then. */
  complete: boolean
  /** Files of objects that nothing refers to. */
  unused_files: number
  unused_bytes: number
  /** Null when they were not looked for. */
  stray_files: number | null
}

interface SweepRequest {
  dryRun: boolean
  deep: boolean
  signal: AbortSignal
  /** Told of each file of a dry run, and of each stray one. */
  tell(key: string): void
}

/** Throws an Error for the operator. */
async function sweep(config: Config, request: SweepRequest): Promise<Report> {
  const { signal } = request
  await using database = await openCatalogueDatabase(config, signal)
  await using storage = await openStorage(config.storage)
  await checkStore({ database, storage, kind: config.storage.kind })
  const others = request.deep && !request.dryRun && (await tellOthers({ database, storage }))
  if (others) throw new Error(others)
  const unused = await sweepUnused(database, { storage, config, ...request })
  const isOver = !request.deep || signal.aborted
  const stray_files = isOver ? null : await sweepStrays(database, storage, request)
  return { dry_run: request.dryRun, complete: !signal.aborted, ...unused, stray_files }
}

async function sweepUnused(
  { db }: Database,
  options: SweepRequest & { storage: Storage; config: Config },
): Promise<Pick<Report, 'unused_files' | 'unused_bytes'>> {
  const { storage, config, signal, dryRun, tell } = options
  const graceMs = sweepGraceMs(config.jobs)
  if (!dryRun) {
    const { files, bytes } = await sweepObjects({ db, storage, graceMs, signal })
    return { unused_files: files, unused_bytes: bytes }
  }
  const found = { unused_files: 0, unused_bytes: 0 }
  for await (const slice of findUnused(db, graceMs, signal)) {
    for (const { key, bytes } of slice) {
      tell(key)
      found.unused_files++
      found.unused_bytes += bytes
    }
  }
  return found
}

async function sweepStrays(
  { db }: Database,
  storage: Storage,
  { dryRun, signal, tell }: SweepRequest,
): Promise<number> {
  const walk = { db, storage, signal }
  if (!dryRun) await refuseForeignStorage(walk)
  let count = 0
  for await (const { strays } of findStrayFiles(walk)) {
    for (const key of strays) {
      if (signal.aborted) return count
      tell(key)
      if (!dryRun) await storage.remove(key)
      count++
    }
  }
  return count
}

/** With the wrong database, or an empty one, every file would be a stray. */
async function refuseForeignStorage(walk: StrayFilesOptions): Promise<void> {
  let [files, strays] = [0, 0]
  for await (const batch of findStrayFiles(walk)) {
    files += batch.files
    strays += batch.strays.length
    if (strays < files) return
  }
  if (strays === 0 || walk.signal?.aborted) return
  throw new Error(
    `the database knows none of the ${files} files in this storage: is it the right one? (--dry-run lists them)`,
  )
}

function sentenceOf(report: Report): string {
  const { dry_run, complete, unused_files, unused_bytes, stray_files } = report
  const until = complete ? '' : 'so far, '
  const done = dry_run ? 'to be removed' : 'removed'
  const strays = stray_files === null ? '' : `, files without a row ${done}: ${stray_files}`
  return `${until}unused files ${done}: ${unused_files} (${unused_bytes} bytes)${strays}\n`
}
