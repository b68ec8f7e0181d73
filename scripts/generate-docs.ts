// Writes what is made from the source: docs/configuration.md and openapi.json.

import { writeFile } from 'node:fs/promises'
import { renderConfigurationDoc } from '../src/config/documentation.ts'
import { renderOpenapi } from './openapi.ts'

const root = new URL('../', import.meta.url)
await writeFile(new URL('docs/configuration.md', root), renderConfigurationDoc())
await writeFile(new URL('openapi.json', root), await renderOpenapi())
