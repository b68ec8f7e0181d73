// The contract of the database on PostgreSQL. Its outages are in test/database/postgres.test.ts: the embedded
// engine has none.

import { describeOnPostgres, postgresEngine } from '../support/database.ts'
import { describeDatabase } from './database.ts'

describeOnPostgres('PostgreSQL', () => describeDatabase(postgresEngine))
