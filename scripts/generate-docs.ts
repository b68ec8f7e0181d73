// Writes the documentation that is made from the source: docs/configuration.md.

import { writeFile } from 'node:fs/promises'
import { renderConfigurationDoc } from '../src/config/documentation.ts'

const file = new URL('../docs/configuration.md', import.meta.url)
await writeFile(file, renderConfigurationDoc())
