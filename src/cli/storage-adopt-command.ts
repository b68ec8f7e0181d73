// `vitrine storage adopt`: makes the store of these settings the one of the database.

import { adoptStore, tellOthers } from '../app/store-mark.ts'
import { openStorage } from '../storage/open.ts'
import { openCatalogueDatabase } from './catalogue-database.ts'
import { defineCommand } from './command.ts'
import { loadSettings } from './load-settings.ts'

export const storageAdoptCommand = defineCommand({
  name: 'storage adopt',
  summary: 'make this store the one of the database, after a move or a loss of its files',
  options: {
    json: {
      type: 'boolean',
      description: 'print one JSON object: the place, and a warning or null',
    },
  },
  details: `A process refuses to start when its store is not the one that the first process of this database
marked: its pictures would not be found. This command marks the store of these settings instead; the
former one is then refused, and processes that run with it are to be restarted.`,
  run: async ({ values, signal }) => {
    const { config } = loadSettings()
    await using database = await openCatalogueDatabase(config, signal)
    await using storage = await openStorage(config.storage)
    await adoptStore({ database, storage })
    const { place } = storage
    const warning = (await tellOthers({ database, storage })) ?? null
    if (warning) process.stderr.write(`warning: ${warning}\n`)
    process.stdout.write(
      values.json
        ? `${JSON.stringify({ place, warning })}\n`
        : `The pictures of this database are kept in ${place}.\n`,
    )
    return 0
  },
})
