// The contract of the database on the embedded engine.

import { pgliteEngine } from '../support/database.ts'
import { describeDatabase } from './database.ts'

describeDatabase(pgliteEngine)
