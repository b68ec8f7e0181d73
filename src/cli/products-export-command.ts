// `vitrine products export`: the catalogue as JSON lines, which `products import` takes again.

import type { Writable } from 'node:stream'
import type { Config } from '../config/config.ts'
import { createMediaUrls } from '../images/media-urls.ts'
import { exportProducts } from '../products/product-export.ts'
import { openStorage } from '../storage/open.ts'
import { openCatalogueDatabase } from './catalogue-database.ts'
import { defineCommand } from './command.ts'
import { loadSettings } from './load-settings.ts'
import { createProgress, grouped } from './progress.ts'

export const productsExportCommand = defineCommand({
  name: 'products export',
  summary: 'print all products as JSON lines',
  options: {},
  details: `Each line is a product as GET /products/:id shows it, the oldest first; \`vitrine products import\`
takes them, and makes new products of them. The export is not of one moment: a product that
changes meanwhile is shown as it was or as it is.

Exit codes: 0 all products are printed, 1 it did not reach the end, 2 wrong usage or settings.`,
  run: async ({ signal }) => {
    const { config } = loadSettings()
    const out = process.stdout
    const isSeen = process.stderr.isTTY && !out.isTTY
    let count = 0
    {
      using progress = createProgress({ unit: 'products', total: undefined, out: process.stderr })
      for await (const lines of readPages(config, signal)) {
        signal.throwIfAborted()
        if (!(await write(out, lines.text))) return 0
        count += lines.count
        if (isSeen) progress.update({ count, done: 0 })
      }
    }
    if (isSeen) process.stderr.write(`exported ${grouped(count)} products\n`)
    return 0
  },
})

async function* readPages(config: Config, signal: AbortSignal) {
  await using stack = new AsyncDisposableStack()
  const { db } = stack.use(await openCatalogueDatabase(config, signal))
  const storage = stack.use(await openStorage(config.storage))
  const publicUrl = config.server.publicUrl ?? 'http://localhost'
  const mediaUrls = createMediaUrls({ storage, publicUrl })
  for await (const page of exportProducts({ db, mediaUrls })) {
    const text = page.map((product) => `${JSON.stringify(product)}\n`).join('')
    yield { text, count: page.length }
  }
}

/** Resolves when it is written; to false when it cannot be, which the listener of the output judges. */
function write(out: Writable, text: string): Promise<boolean> {
  return new Promise((resolve) => out.write(text, (error) => resolve(!error)))
}
