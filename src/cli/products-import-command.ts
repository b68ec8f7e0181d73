// `vitrine products import`: products from a file of JSON lines, of any size.

import { randomUUID } from 'node:crypto'
import { type BigIntStats, constants, fstatSync, openSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { addAbortSignal, type Readable } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import type { Config } from '../config/config.ts'
import { defineImageJob } from '../images/image-job.ts'
import { continueTrace } from '../observability/trace.ts'
import { createAddressPolicy } from '../outbound/address-policy.ts'
import {
  createImportStore,
  type ImportOptions,
  type ImportProgress,
  importProducts,
} from '../products/product-import.ts'
import { openCatalogueDatabase } from './catalogue-database.ts'
import { defineCommand, isUsageError, usageError } from './command.ts'
import { type ImportSummary, renderSummary, renderSummaryJson } from './import-summary.ts'
import { loadSettings } from './load-settings.ts'
import { readProductLines } from './product-lines.ts'
import { createProgress } from './progress.ts'
import { openRefusedLines, type RefusedLinesOptions } from './refused-lines.ts'

const NAME = 'products import'

/**
 * The heap stays small. Batches outlive its young generation, which V8 would let grow to 64 MB for that; and what they
 * leave in the old one is collected when that is a third larger than what is in use, not several times. By itself
 * an import takes 320 MB, so 150, and no product a second is lost: their time is the database's. V8 asks for both
 * whenever it is about to let the heap grow, so a process that runs can say it.
 */
const SMALL_HEAP = ['--semi-space-growth-factor=1', '--heap-growing-percent=30']

export const productsImportCommand = defineCommand({
  name: NAME,
  summary: 'create products from a file of JSON lines',
  argument: {
    name: 'FILE',
    description: 'a product a line, as POST /products takes it; - is stdin',
  },
  options: {
    'from-line': { type: 'string', value: 'N', description: 'pass over the lines before this one' },
    refused: {
      type: 'string',
      value: 'FILE',
      description: 'write refused lines there, as JSON lines; appended with --from-line',
    },
    'dry-run': { type: 'boolean', description: 'judge the lines, store nothing' },
    json: { type: 'boolean', description: 'for machines: print the summary as JSON' },
  },
  details: `Products are stored in the order of their lines, many in one statement; a line that is no
product is refused and the import goes on. The service may run meanwhile, if the database is
PostgreSQL. Stopped by a signal or a failure, the summary names the line to go on from.

Exit codes: 0 every line is stored, 1 some are refused or the import did not reach the end,
2 wrong usage or settings.`,
  run: async ({ argument, values, signal }) => {
    for (const flag of SMALL_HEAP) setFlagsFromString(flag)
    const { config } = loadSettings()
    const fromLine = lineNumber(values['from-line'] ?? '1')
    const input = await openInput(argument)
    let summary: ImportSummary
    {
      using progress = createProgress({ unit: 'products', total: input.bytes, out: process.stderr })
      using refused = openRefused(values.refused, {
        input: input.stats,
        goesOn: fromLine > 1,
        show: progress.note,
      })
      const outcome = await runImport({
        config,
        input: input.chunks,
        fromLine,
        isDryRun: values['dry-run'] === true,
        signal,
        onRefused: refused.add,
        onProgress: ({ products, bytes }) => progress.update({ count: products, done: bytes }),
      })
      summary = { ...outcome, reasons: refused.reasons }
    }
    process.stdout.write((values.json ? renderSummaryJson : renderSummary)(summary))
    return summary.failure === undefined && summary.reached.refused === 0 ? 0 : 1
  },
})

interface Import {
  config: Config
  input: Readable
  fromLine: number
  isDryRun: boolean
  signal: AbortSignal
  onRefused: ImportOptions['onRefused']
  onProgress: ImportOptions['onProgress']
}

/** What stopped the import is in the summary: that much is stored all the same. Throws a usage error. */
async function runImport(options: Import): Promise<Omit<ImportSummary, 'reasons'>> {
  const { config, input, fromLine, isDryRun, onRefused, signal } = options
  // Else it would be noticed only when the next line arrives.
  addAbortSignal(signal, input)
  const { checkUrl } = createAddressPolicy(config.outbound)
  const startedAt = performance.now()
  let reached: ImportProgress = {
    line: fromLine - 1,
    bytes: 0,
    products: 0,
    pictures: 0,
    refused: 0,
  }
  let failure: string | undefined
  try {
    await using stack = new AsyncDisposableStack()
    const store = isDryRun ? async () => {} : await openStore(stack, config, signal)
    await importProducts(readProductLines(input, { checkUrl, fromLine }), {
      store,
      onRefused,
      onProgress: (progress) => {
        reached = progress
        options.onProgress(progress)
      },
      fromLine,
      signal,
    })
    signal.throwIfAborted()
  } catch (error) {
    if (isUsageError(error)) throw error
    failure = messageOf(signal.aborted ? signal.reason : error)
  }
  return { reached, failure, elapsedMs: performance.now() - startedAt, isDryRun }
}

async function openStore(stack: AsyncDisposableStack, config: Config, signal: AbortSignal) {
  const database = stack.use(await openCatalogueDatabase(config, signal))
  return createImportStore({
    database,
    job: defineImageJob(config.jobs),
    context: { requestId: `import-${randomUUID()}`, traceparent: continueTrace(undefined) },
    patienceMs: config.startTimeoutMs,
    signal,
  })
}

interface Input {
  chunks: Readable
  stats: BigIntStats
  /** Undefined where nobody knows. */
  bytes: number | undefined
}

/** Throws a usage error for a file that cannot be read. */
async function openInput(path: string): Promise<Input> {
  if (path === '-') {
    return { chunks: process.stdin, stats: fstatSync(0, { bigint: true }), bytes: undefined }
  }
  try {
    const stats = await stat(path, { bigint: true })
    if (stats.isDirectory()) throw new Error('it is a folder')
    if (stats.isFIFO()) return { chunks: openPipe(path), stats, bytes: undefined }
    const file = await open(path)
    const chunks = file.createReadStream({ highWaterMark: 256 * 1024 })
    return { chunks, stats, bytes: stats.isFile() ? Number(stats.size) : undefined }
  } catch (error) {
    throw usageError(`${path} cannot be read: ${messageOf(error)}`, NAME)
  }
}

/** A thread that waits for the writer of a pipe, as it does for a file, would keep the process from ending. */
function openPipe(path: string): Readable {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  return new Socket({ fd, readable: true, writable: false })
}

function openRefused(path: string | undefined, options: RefusedLinesOptions) {
  try {
    return openRefusedLines(path, options)
  } catch (error) {
    throw usageError(`${path} cannot be written: ${messageOf(error)}`, NAME)
  }
}

function lineNumber(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw usageError(`--from-line must be a line's number, from 1, and not ${text}`, NAME)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
