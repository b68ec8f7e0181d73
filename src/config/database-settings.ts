// The settings that choose and reach the database.

import { postgresUrl, sslModes } from './postgres-url.ts'
import type { SettingTable } from './setting.ts'
import { hostOrSocketFolder, integer, oneOf, path, text } from './value-types.ts'

export const databaseSettings = {
  DATABASE_URL: {
    type: postgresUrl,
    secret: 'url',
    description:
      'PostgreSQL as `postgres://user:password@host:port/database`, with the parameters `sslmode` and `sslrootcert`. Without it and without `DB_HOST` and its like, the embedded database in `DATA_DIR/db` is used.',
  },
  DB_HOST: {
    type: hostOrSocketFolder,
    derived: '`localhost`, once one of `DB_HOST` to `DB_NAME` is set',
    yaml: 'database.host',
    description: "PostgreSQL's host, or the folder of its Unix socket.",
  },
  DB_PORT: {
    type: integer({ min: 1, max: 65_535 }),
    derived: '`5432`',
    yaml: 'database.port',
    description: "PostgreSQL's port.",
  },
  DB_USER: {
    type: text,
    derived: '`postgres`',
    yaml: 'database.user',
    description: 'The role to connect as.',
  },
  DB_PASSWORD: {
    type: text,
    aliases: ['DB_PASS'],
    yaml: 'database.password',
    secret: 'whole',
    description: "The role's password.",
  },
  DB_NAME: {
    type: text,
    derived: '`vitrine`',
    yaml: 'database.dbname',
    description: 'The database.',
  },
  DB_SSLMODE: {
    type: oneOf(sslModes),
    default: 'disable',
    description:
      'TLS towards PostgreSQL, with or without `DATABASE_URL`: `require` encrypts without checking who answers, `verify-ca` checks the certificate, `verify-full` the host name too. `prefer` means `require`: there is no falling back to plain text.',
  },
  DB_SSLROOTCERT: {
    type: path,
    derived: 'the certificate authorities of Node.js',
    description: 'A file with the PEM certificates of the authorities to trust.',
  },
  DB_POOL_SIZE: {
    type: integer({ min: 2, max: 1_000 }),
    default: '10',
    unit: 'connections',
    description: 'Connections to PostgreSQL at most, in each process.',
  },
} as const satisfies SettingTable
