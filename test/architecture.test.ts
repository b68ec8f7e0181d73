// The layers of src/ hold, and the test that says so would notice if they did not.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createVirtualFileSystem } from 'typescript/unstable/fs'
import { findViolations } from './support/architecture.ts'
import { readSources, type SourceImport } from './support/source-imports.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')

test('every import of src/ points where it may', async () => {
  const modules = await readSources(ROOT, ['src', 'console'])
  assert.ok(modules.length > 50, `only ${modules.length} files were read`)
  assert.equal(findViolations(modules).join('\n'), '')
})

/** The violations of a tree made of these files. */
async function judge(files: Record<string, string>): Promise<string[]> {
  const paths = Object.entries(files).map(([path, text]) => [`/tree/${path}`, text])
  return findViolations(
    await readSources(
      '/tree',
      ['src', 'console'],
      createVirtualFileSystem(Object.fromEntries(paths)),
    ),
  )
}

async function importsOf(text: string): Promise<SourceImport[]> {
  const fs = createVirtualFileSystem({ '/tree/src/jobs/a.ts': text })
  const [module] = await readSources('/tree', ['src'], fs)
  return module?.imports ?? []
}

describe('an import is found', () => {
  const forms: [string, SourceImport['kind']][] = [
    [`import '../lib/b.ts'`, 'static'],
    [`import b from "../lib/b.ts"`, 'static'],
    [`import { b } from '../lib/b.ts'`, 'static'],
    [`import {\n  b,\n  type B,\n} from '../lib/b.ts'`, 'static'],
    [`import type { B } from '../lib/b.ts'`, 'type'],
    [`export { b } from '../lib/b.ts'`, 'static'],
    [`export * from '../lib/b.ts'`, 'static'],
    [`export type { B } from '../lib/b.ts'`, 'type'],
    [`type B = import('../lib/b.ts').B`, 'type'],
    [`const b = await import('../lib/b.ts')`, 'dynamic'],
    [`const b = \`\${await import('../lib/b.ts')}\``, 'dynamic'],
    ['const b = await import(`../lib/b.ts`)', 'dynamic'],
    [`const f = () => { if (1 / 2) return import('../lib/b.ts') }`, 'dynamic'],
  ]
  for (const [text, kind] of forms) {
    test(JSON.stringify(text), async () => {
      assert.deepEqual(await importsOf(`${text}\n`), [{ target: 'src/lib/b.ts', kind }])
    })
  }

  test('and what only looks like one is not', async () => {
    const text = [
      `// import './comment.ts'`,
      `/* import './comment.ts' */`,
      `export const quote = "import './quote.ts'"`,
      'export const template = `import "./template.ts"`',
      `export const pattern = /import '.\\/pattern.ts'["'\`]/`,
    ]
    assert.deepEqual(await importsOf(text.join('\n')), [])
  })
})

describe('an edge that may not be is printed with its reason', () => {
  const cases: { name: string; files: Record<string, string>; expected: string[] }[] = [
    {
      name: 'down is fine, over several layers too',
      files: {
        'src/http/a.ts': `import '../products/b.ts'\nimport '../errors.ts'\nimport 'fastify'`,
        'src/products/b.ts': `import type { C } from '../database/c.ts'`,
        'src/database/c.ts': `import '../lib/d.ts'\nexport type C = 1`,
        'src/lib/d.ts': '',
        'src/errors.ts': '',
      },
      expected: [],
    },
    {
      name: 'up is not, and a type is an import',
      files: {
        'src/images/a.ts': `import type { B } from '../products/b.ts'`,
        'src/products/b.ts': 'export type B = 1',
      },
      expected: ['src/images/a.ts → src/products/b.ts: upwards: products is above images'],
    },
    {
      name: 'http and pipeline do not know each other',
      files: {
        'src/http/a.ts': `const b = await import('../pipeline/b.ts')`,
        'src/pipeline/b.ts': '',
      },
      expected: ['src/http/a.ts → src/pipeline/b.ts: sideways: http does not know pipeline'],
    },
    {
      name: 'the queue that PostgreSQL carries may use the database, no other may',
      files: {
        'src/queue/postgres.ts': `import type { B } from '../database/b.ts'`,
        'src/queue/kafka.ts': `import type { B } from '../database/b.ts'`,
        'src/database/b.ts': 'export type B = 1',
      },
      expected: ['src/queue/kafka.ts → src/database/b.ts: sideways: queue does not know database'],
    },
    {
      name: 'a re-export is an import',
      files: { 'src/lib/a.ts': `export * from '../errors.ts'`, 'src/errors.ts': '' },
      expected: ['src/lib/a.ts → src/errors.ts: sideways: lib does not know errors.ts'],
    },
    {
      name: 'a folder without a place in the layers is named',
      files: { 'src/helpers/a.ts': `import '../errors.ts'`, 'src/errors.ts': '' },
      expected: ['src/helpers/a.ts → src/errors.ts: src/helpers has no place in the layers'],
    },
    {
      name: 'nobody below app/ reads the settings',
      files: {
        'src/http/a.ts': `import '../config/c.ts'`,
        'src/app/b.ts': `import '../config/c.ts'`,
        'src/config/c.ts': '',
      },
      expected: ['src/http/a.ts → src/config/c.ts: http is given its slice of the settings'],
    },
    {
      name: 'an adapter is imported by its own door only',
      files: {
        'src/storage/open.ts': `import type { O } from './s3.ts'\nexport const o = await import('./s3.ts')`,
        'src/storage/s3.ts': 'export type O = 1',
        'src/app/a.ts': `import type { O } from '../storage/s3.ts'\nimport '../storage/open.ts'`,
        'src/storage/b.ts': `const s3 = await import('./s3.ts')`,
      },
      expected: [
        'src/app/a.ts → src/storage/s3.ts: an adapter, only src/storage/open.ts imports it',
        'src/storage/b.ts → src/storage/s3.ts: an adapter, only src/storage/open.ts imports it',
      ],
    },
    {
      name: 'an adapter is loaded when it is chosen, not before',
      files: {
        'src/queue/open.ts': `import { openKafka } from './kafka.ts'`,
        'src/queue/kafka.ts': 'export const openKafka = 1',
      },
      expected: [
        'src/queue/open.ts → src/queue/kafka.ts: an adapter, to be loaded with await import()',
      ],
    },
    {
      name: 'sharp belongs to the pipeline',
      files: {
        'src/pipeline/a.ts': `import sharp from 'sharp'`,
        'src/http/b.ts': `import type { Sharp } from 'sharp'`,
        'src/app/c.ts': `const sharp = await import('sharp/lib/index.js')`,
        'src/app/d.ts': `import 'sharpness'`,
      },
      expected: [
        'src/app/c.ts → sharp/lib/index.js: only src/pipeline uses it',
        'src/http/b.ts → sharp: only src/pipeline uses it',
      ],
    },
    {
      name: 'a file in JavaScript is no exception',
      files: { 'src/lib/a.js': `import '../app/b.js'`, 'src/app/b.js': '' },
      expected: ['src/lib/a.js → src/app/b.js: upwards: app is above lib'],
    },
    {
      name: 'an import that cannot be read cannot be judged',
      files: { 'src/app/a.ts': `export const load = (name: string) => import(name)` },
      expected: ['src/app/a.ts → import(name): what is imported must be readable from the text'],
    },
    {
      name: 'the product does not import its tests',
      files: {
        'src/jobs/a.ts': `import '../../test/support/b.ts'\nimport './a.test.ts'`,
        'src/jobs/a.test.ts': `import '../../test/support/b.ts'\nimport '../http/c.ts'\nimport './a.ts'`,
        'src/http/c.ts': '',
      },
      expected: [
        'src/jobs/a.ts → src/jobs/a.test.ts: a test',
        'src/jobs/a.ts → test/support/b.ts: outside src/',
      ],
    },
    {
      name: 'the console is a client like any other',
      files: {
        'console/a.ts': `import type { B } from '../src/products/b.ts'`,
        'src/products/b.ts': '',
      },
      expected: ['console/a.ts → src/products/b.ts: the console is a client like any other'],
    },
    {
      name: 'a cycle is printed whole, types included',
      files: {
        'src/jobs/a.ts': `import type { B } from './b.ts'`,
        'src/jobs/b.ts': `import './c.ts'\nexport type B = 1`,
        'src/jobs/c.ts': `export * from './a.ts'`,
      },
      expected: ['src/jobs/a.ts → src/jobs/b.ts → src/jobs/c.ts → src/jobs/a.ts: a cycle'],
    },
  ]
  for (const { name, files, expected } of cases) {
    test(name, async () => assert.deepEqual((await judge(files)).sort(), expected))
  }
})

describe('the environment is read in config/ only', () => {
  const spellings = [
    'export const a = process.env.PORT',
    `export const a = process['env']`,
    'export const a = globalThis.process.env',
    'const { env } = process',
    'const { pid, env: settings } = process',
    `import { env } from 'node:process'`,
    `import { env as settings } from 'process'`,
    `import process from 'node:process'\nexport const a = process.env`,
  ]
  for (const spelling of spellings) {
    test(spelling, async () => {
      const files = { 'src/app/a.ts': `${spelling}\nexport {}`, 'src/config/b.ts': spelling }
      assert.deepEqual(await judge(files), [
        'src/app/a.ts → process.env: only src/config reads the environment',
      ])
    })
  }

  test('other members of process, and other things called env, are free', async () => {
    const text = [
      'export const a = process.pid',
      'export const b = (options: { env: object }) => options.env',
      'export const { env } = { env: 1 }',
      `import { argv } from 'node:process'`,
    ]
    assert.deepEqual(await judge({ 'src/app/a.ts': text.join('\n') }), [])
  })
})
