// What the pages under docs/ say of the source is there: names of functions, and paths.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { glob, readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What stands between backticks, outside of blocks. */
async function quotedIn(page: string): Promise<string[]> {
  const text = (await readFile(`${root}${page}`, 'utf8')).replace(/^```[\s\S]*?^```/gm, '')
  return [...text.matchAll(/`([^`\n]+)`/g)].map(([, quoted = '']) => quoted)
}

test('docs/architecture.md names functions that exist', async () => {
  const files = await Array.fromAsync(glob('src/**/*.ts', { cwd: root }))
  const sources = await Promise.all(files.map((file) => readFile(`${root}${file}`, 'utf8')))
  const words = new Set(sources.join('\n').match(/\w+/g))
  const names = (await quotedIn('docs/architecture.md'))
    .filter((quoted) => /^[a-z]\w*(\.[a-z]\w*)?$/i.test(quoted) && /[a-z][A-Z]|\./.test(quoted))
    .flatMap((quoted) => quoted.split('.'))
  assert.ok(names.length > 60, `${names.length} names`)
  assert.deepEqual(
    names.filter((name) => !words.has(name)),
    [],
  )
})

test('the pages name files and folders that exist', async () => {
  const pages = ['docs/architecture.md', 'CONTRIBUTING.md', 'README.md']
  const quoted = (await Promise.all(pages.map(quotedIn))).flat()
  const paths = quoted.filter((text) =>
    /^(src|test|scripts|migrations|docs|bench)\/[\w./-]*$/.test(text),
  )
  assert.ok(paths.length > 40, `${paths.length} paths`)
  assert.deepEqual(
    paths.filter((path) => !existsSync(`${root}${path}`)),
    [],
  )
})
