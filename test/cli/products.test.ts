// Imports and exports as an operator runs them.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sql } from 'kysely'
import { describeOnPostgres, postgresEngine, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { newProduct } from '../support/products.ts'
import { makeDataFolder } from '../support/service.ts'
import { vitrine } from '../support/vitrine.ts'

const line = (changes: object = {}) => `${JSON.stringify({ ...newProduct(), ...changes })}\n`

const mixed = [
  line({ product_name: 'first' }),
  '{"user_id": 1}\n',
  '\n',
  ' \r\n',
  line({ product_name: 'second', product_price: -1, product_images: ['http://127.0.0.1/a'] }),
  'no json\n',
  line({ product_name: 'third', product_images: ['https://a.example/1', 'http://127.0.0.1/a'] }),
  `${' '.repeat(2_000_000)}\n`,
  '[]\n',
  line({ product_name: 'last', product_images: [] }).trimEnd(),
].join('')

const refusals = [
  { line: 2, code: 'invalid_input', pointers: ['/product_name', '/product_price'] },
  { line: 5, code: 'invalid_input', pointers: ['/product_price'] },
  { line: 6, code: 'malformed_json', pointers: [] },
  { line: 7, code: 'invalid_input', pointers: ['/product_images/1'] },
  { line: 8, code: 'too_large', pointers: [] },
  { line: 9, code: 'invalid_input', pointers: [''] },
]

test('lines are judged as bodies of POST are, without a database in a dry run', async () => {
  await using folder = await makeDataFolder()
  const file = join(folder.path, 'products.ndjson')
  const refused = join(folder.path, 'refused.ndjson')
  await writeFile(file, mixed)
  const args = ['products', 'import', file, '--dry-run', '--json', '--refused', refused]
  const { code, stdout, stderr } = await vitrine(args, {
    env: { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' },
  })
  assert.deepEqual([code, stderr], [1, ''])
  const summary = JSON.parse(stdout)
  assert.equal(typeof summary.seconds, 'number')
  assert.deepEqual(
    { ...summary, seconds: 0, products_per_second: 0 },
    {
      dry_run: true,
      complete: true,
      failure: null,
      through_line: 10,
      products: 2,
      pictures: 1,
      refused: 6,
      reasons: {
        '/product_price required': 1,
        '/product_name required': 1,
        '/product_price minimum': 1,
        malformed_json: 1,
        '/product_images/* private_address': 1,
        too_large: 1,
        type: 1,
      },
      seconds: 0,
      products_per_second: 0,
    },
  )
  const records = (await readFile(refused, 'utf8')).trimEnd().split('\n')
  assert.deepEqual(
    records
      .map((record) => JSON.parse(record))
      .map(({ line, code, errors }) => ({
        line,
        code,
        pointers: errors.map(({ pointer }: { pointer: string }) => pointer),
      })),
    refusals,
  )
})

test('the input is no file for refused lines, by whatever name and even to go on', async () => {
  await using folder = await makeDataFolder()
  const file = join(folder.path, 'products.ndjson')
  const same = join(folder.path, 'same.ndjson')
  await writeFile(file, mixed)
  await symlink(file, same)
  for (const more of [[], ['--from-line', '2']]) {
    const args = ['products', 'import', file, '--dry-run', '--refused', same, ...more]
    const { code, stdout, stderr } = await vitrine(args)
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, /same\.ndjson cannot be written: it is the input; see /)
    assert.equal(await readFile(file, 'utf8'), mixed)
  }
})

test('nor is the file that standard input is read from', async () => {
  await using folder = await makeDataFolder()
  const path = join(folder.path, 'products.ndjson')
  await writeFile(path, mixed)
  await using input = await open(path)
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const args = ['products', 'import', '-', '--dry-run', '--refused', path]
  const child = spawn(process.execPath, [main, ...args], { stdio: [input.fd, 'ignore', 'ignore'] })
  const [code] = await once(child, 'close')
  assert.deepEqual([code, await readFile(path, 'utf8')], [2, mixed])
})

test('to go on keeps the refused lines of before, to begin again does not', async () => {
  await using folder = await makeDataFolder()
  const refused = join(folder.path, 'refused.ndjson')
  const linesAfter = async (...more: string[]) => {
    const args = ['products', 'import', '-', '--dry-run', '--refused', refused, ...more]
    await vitrine(args, { input: '{}\n[]\n{}\n' })
    const records = (await readFile(refused, 'utf8')).trimEnd().split('\n')
    return records.map((record) => JSON.parse(record).line)
  }
  assert.deepEqual(await linesAfter(), [1, 2, 3])
  assert.deepEqual(await linesAfter('--from-line', '3'), [1, 2, 3, 3])
  assert.deepEqual(await linesAfter(), [1, 2, 3])
})

test('without a file the first refused lines are told, the others counted', async () => {
  const { code, stdout, stderr } = await vitrine(['products', 'import', '-', '--dry-run'], {
    input: '{}\n'.repeat(5_000),
  })
  assert.equal(code, 1)
  const lines = stderr.trimEnd().split('\n')
  assert.equal(lines.length, 21)
  assert.match(lines[0] ?? '', /^line 1: \/user_id is required; \/product_name is required; /)
  assert.equal(lines[20], 'line 21 and further refused lines are only counted')
  assert.match(
    stdout,
    /^would store 0 products .*; 5,000 lines refused\n {7}5,000 {2}\/user_id required\n/,
  )
})

test('an empty input is imported', async () => {
  const { code, stdout, stderr } = await vitrine(['products', 'import', '-', '--dry-run'])
  assert.deepEqual([code, stderr], [0, ''])
  assert.match(stdout, /^would store 0 products/)
})

test('to go on beyond the end of the input is wrong usage, right after its last line it is not', async () => {
  const from = (line: number) =>
    vitrine(['products', 'import', '-', '--dry-run', '--json', '--from-line', `${line}`], {
      input: '{}\n\n{}',
    })
  const beyond = await from(5)
  assert.deepEqual([beyond.code, beyond.stdout], [2, ''])
  assert.match(beyond.stderr, /^--from-line 5 is beyond the end: the input has 3 lines; see /)
  const after = await from(4)
  assert.deepEqual([after.code, after.stderr], [0, ''])
  const { complete, through_line, refused } = JSON.parse(after.stdout)
  assert.deepEqual([complete, through_line, refused], [true, 3, 0])
})

test('a signal ends it while it waits for a line', async () => {
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const child = spawn(process.execPath, [main, 'products', 'import', '-', '--dry-run', '--json'])
  const output = Promise.all([text(child.stdout), once(child, 'close')])
  // A batch, and what does not fill another one.
  child.stdin.write('{}\n'.repeat(10_001))
  await once(child.stderr, 'data')
  child.kill('SIGINT')
  const [stdout, [code]] = await output
  assert.equal(code, 1)
  const { failure, through_line, refused, reasons } = JSON.parse(stdout)
  assert.equal(failure, 'stopped by SIGINT')
  assert.deepEqual([through_line, refused], [10_000, 10_000])
  assert.equal(reasons['/user_id required'], 10_000, 'of lines that are not refused again')
})

test('a pipe is read to its end', async () => {
  await using folder = await makeDataFolder({ empty: true })
  const pipe = join(folder.path, 'pipe')
  execFileSync('mkfifo', [pipe])
  const importing = vitrine(['products', 'import', pipe, '--dry-run', '--json'])
  await writeFile(pipe, line({ product_description: 'x'.repeat(10_000) }).repeat(100))
  const { code, stdout } = await importing
  assert.deepEqual([code, JSON.parse(stdout).products], [0, 100])
})

test('a signal ends it while the writer of a pipe is silent', async () => {
  await using folder = await makeDataFolder({ empty: true })
  const pipe = join(folder.path, 'pipe')
  execFileSync('mkfifo', [pipe])
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const child = spawn(process.execPath, [main, 'products', 'import', pipe, '--dry-run', '--json'])
  await using writer = await open(pipe, 'w')
  await writer.write('{}\n'.repeat(10_000))
  await once(child.stderr, 'data')
  child.kill('SIGTERM')
  // As soon as the writer is gone it would end anyway.
  const ended = once(child, 'close', { signal: AbortSignal.timeout(20_000) })
  const [stdout, [code]] = await Promise.all([text(child.stdout), ended])
  assert.equal(code, 1)
  assert.equal(JSON.parse(stdout).failure, 'stopped by SIGTERM')
})

for (const [args, message] of [
  [[], /^FILE is missing; see vitrine products import --help\n$/],
  [['/nonexistent/file'], /^\/nonexistent\/file cannot be read: ENOENT/],
  [['/tmp'], /^\/tmp cannot be read: it is a folder/],
  [['-', '--from-line', '0'], /^--from-line must be a line's number/],
  [['-', '--refused', '/nonexistent/file'], /cannot be written: ENOENT/],
  [['-', '--batch', '5'], /'--batch'/],
] as const) {
  test(`vitrine products import ${args.join(' ')} is wrong usage`, async () => {
    const { code, stdout, stderr } = await vitrine(['products', 'import', ...args])
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, message)
  })
}

describeOnPostgres('a catalogue is imported and exported', () => {
  let open: TestDatabase
  let env: Record<string, string>
  let folder: Awaited<ReturnType<typeof makeDataFolder>>
  before(async () => {
    open = await postgresEngine.create()
    folder = await makeDataFolder()
    env = {
      DATABASE_URL: open.url ?? '',
      DATA_DIR: folder.path,
      PUBLIC_URL: 'https://shop.example',
    }
  })
  after(async () => {
    await open[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })

  const countOf = async (userId: string) => {
    const { rows } = await sql<{ count: number }>`
      SELECT count(*) FROM products WHERE user_id = ${userId}`.execute(open.database.db)
    return rows[0]?.count
  }

  test('what is printed can be read again, and nothing else is printed', async () => {
    const imported = await vitrine(['products', 'import', '-'], { env, input: mixed })
    assert.equal(imported.code, 1)
    assert.match(imported.stdout, /^stored 2 products with 1 pictures in .*; 6 lines refused\n/)
    const exported = await vitrine(['products', 'export'], { env })
    assert.deepEqual([exported.code, exported.stderr], [0, ''])
    const documents = exported.stdout
      .trimEnd()
      .split('\n')
      .map((document) => JSON.parse(document))
    assert.deepEqual(
      documents.map(({ product_name, version, images }) => [product_name, version, images.length]),
      [
        ['first', 1, 1],
        ['last', 1, 0],
      ],
    )
    const again = await vitrine(['products', 'import', '-', '--json'], {
      env,
      input: exported.stdout,
    })
    assert.equal(again.code, 0)
    assert.equal(JSON.parse(again.stdout).products, 2)
    assert.equal(await countOf('1234-5678-9012'), 4)
  })

  test('--from-line goes on where an import stopped', async () => {
    const lines = Array.from({ length: 2_500 }, (_, at) =>
      line({ user_id: 'going on', product_name: `${at + 1}` }),
    )
    const { code, stdout } = await vitrine(
      ['products', 'import', '-', '--from-line', '2400', '--json'],
      {
        env,
        input: lines.join(''),
      },
    )
    assert.equal(code, 0)
    const { products, through_line } = JSON.parse(stdout)
    assert.deepEqual([products, through_line], [101, 2_500])
    assert.equal(await countOf('going on'), 101)
  })

  test('a signal ends it after the batch under way, and the summary is true', async () => {
    const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
    const child = spawn(process.execPath, [main, 'products', 'import', '-', '--json'], {
      env: { PATH: process.env.PATH, ...env },
    })
    const output = Promise.all([text(child.stdout), once(child, 'close')])
    child.stdin.on('error', () => {})
    const over = new AbortController()
    child.once('close', () => over.abort())
    const many = line({ user_id: 'stopped' }).repeat(1_000)
    const writing = (async () => {
      while (!over.signal.aborted) {
        if (child.stdin.write(many)) continue
        // Nobody reads any more once it has ended: an error then, or no answer at all.
        await once(child.stdin, 'drain', { signal: over.signal }).catch(() => {})
      }
    })()
    await eventually(async () => assert.ok(((await countOf('stopped')) ?? 0) > 0), 20_000)
    child.kill('SIGTERM')
    const [stdout, [code]] = await output
    await writing
    assert.equal(code, 1)
    const summary = JSON.parse(stdout)
    assert.deepEqual([summary.complete, summary.failure], [false, 'stopped by SIGTERM'])
    assert.equal(await countOf('stopped'), summary.products)
    assert.equal(summary.through_line, summary.products)
  })

  test('a reader that has seen enough ends the export without a complaint', async () => {
    const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
    const child = spawn(process.execPath, [main, 'products', 'export'], {
      env: { PATH: process.env.PATH, ...env },
    })
    child.stdout.once('data', () => child.stdout.destroy())
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'close')])
    assert.deepEqual([code, stderr], [0, ''])
  })
})

test('it works on the embedded database, which serves one process', async () => {
  await using folder = await makeDataFolder()
  const env = { DATA_DIR: folder.path, LOG_LEVEL: 'warn' }
  const imported = await vitrine(['products', 'import', '-', '--json'], {
    env,
    input: Array.from({ length: 450 }, (_, at) => line({ product_name: `${at}` })).join(''),
  })
  assert.deepEqual([imported.code, imported.stderr], [0, ''])
  const exported = await vitrine(['products', 'export'], { env })
  const names = exported.stdout
    .trimEnd()
    .split('\n')
    .map((document) => JSON.parse(document).product_name)
  assert.deepEqual(
    names,
    Array.from({ length: 450 }, (_, at) => `${at}`),
  )
})

test('an import does not let the young generation of its heap grow', async () => {
  await using data = await makeDataFolder({ empty: true })
  const file = join(data.path, 'many.ndjson')
  await writeFile(file, line({ product_images: ['https://a.example/1'] }).repeat(20_000))
  // Printed by the process itself when it ends.
  const spy = `import v8 from 'node:v8'; process.on('exit', () => process.stderr.write(
    JSON.stringify(v8.getHeapSpaceStatistics().find((space) => space.space_name === 'new_space'))))`
  const { code, stderr } = await vitrine(['products', 'import', '--dry-run', file], {
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(spy)}` },
    cwd: data.path,
  })
  assert.equal(code, 0, stderr)
  const { space_size: bytes } = JSON.parse(stderr.slice(stderr.lastIndexOf('{')))
  assert.ok(bytes < 32 * 1024 ** 2, `${bytes} bytes`)
})
