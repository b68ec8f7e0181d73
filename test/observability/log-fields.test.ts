// All fields of the log are named alike, so that whoever searches it need not know who wrote a line.

import assert from 'node:assert/strict'
import { glob, readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const SOURCES = fileURLToPath(new URL('../../src/', import.meta.url))
/** The fields of `log.warn({ … }, 'text')`. */
const LOGGED = /\blog\??\.(?:trace|debug|info|warn|error|fatal)\(\s*\{([^{}]*)\}/g

test('fields that are logged are in snake_case', async () => {
  const fields: string[] = []
  for await (const name of glob('**/*.ts', { cwd: SOURCES })) {
    const text = await readFile(SOURCES + name, 'utf8')
    for (const [, members = ''] of text.matchAll(LOGGED)) {
      // What is spread has commas of its own.
      const own = members.replaceAll(/\.{3}\w+\([^()]*\)/g, '')
      const names = own.split(',').map((member) => member.split(':')[0]?.trim() ?? '')
      fields.push(...names.filter((field) => /^\w/.test(field)).map((field) => `${name}: ${field}`))
    }
  }
  assert.ok(fields.length > 20, `only ${fields.length} fields were found`)
  assert.deepEqual(
    fields.filter((field) => !/: [a-z]+(?:_[a-z]+)*$/.test(field)),
    [],
  )
})
