// `vitrine events restart`: begins a new epoch of the event log after a restore that cannot be noticed.

import { beginEpoch } from '../events/epoch.ts'
import { openCatalogueDatabase } from './catalogue-database.ts'
import { defineCommand } from './command.ts'
import { loadSettings } from './load-settings.ts'

export const eventsRestartCommand = defineCommand({
  name: 'events restart',
  summary: 'make clients that follow the events start again, after a restore',
  options: {
    json: { type: 'boolean', description: 'print one JSON object: the epoch that began' },
  },
  details: `A restored dump, a base backup and a promoted standby are noticed without it. A folder that was
copied back file by file is not: ids of events are then given to other events than clients know.`,
  run: async ({ values, signal }) => {
    await using database = await openCatalogueDatabase(loadSettings().config, signal)
    const epoch = await beginEpoch(database.db)
    process.stdout.write(
      values.json ? `${JSON.stringify({ epoch })}\n` : 'Clients that come back will start again.\n',
    )
    return 0
  },
})
