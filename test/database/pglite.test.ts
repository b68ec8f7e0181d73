// The guards of the embedded engine, each against real processes and real kills.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { openDatabase } from '../../src/database/open.ts'
import { waitForDatabase } from '../../src/database/wait.ts'
import { pgliteEngine } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

const EMBEDDED = fileURLToPath(new URL('children/embedded.ts', import.meta.url))
const KILL_AT_WRITE = fileURLToPath(new URL('children/kill-at-write.ts', import.meta.url))

/** How many kills during the first initialisation; each takes about 3 s. 20 and more by hand. */
const KILLS = Number(process.env.TEST_KILLS ?? 8)

let parent: string
before(async () => {
  parent = await mkdtemp(join(tmpdir(), 'vitrine-embedded-'))
})
after(() => rm(parent, { recursive: true, force: true }))

interface Run {
  child: ChildProcess
  /** What it has said so far. */
  output(): string
  /** How it ended: a signal's name or an exit code. */
  ended: Promise<string | number | null>
}

function start(args: readonly string[], env: Record<string, string> = {}): Run {
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env } })
  let output = ''
  const collect = (chunk: Buffer) => {
    output += chunk
  }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  return {
    child,
    output: () => output,
    ended: new Promise((resolve) => child.on('close', (code, signal) => resolve(signal ?? code))),
  }
}

async function keptIn(directory: string): Promise<number[]> {
  await using database = await openDatabase({ engine: 'pglite', directory })
  const { rows } = await sql<{ n: number }>`SELECT n FROM kept ORDER BY n`.execute(database.db)
  return rows.map(({ n }) => n)
}

function acknowledgedBy(run: Run): number[] {
  return [...run.output().matchAll(/^kept (\d+)$/gm)].map(([, n]) => Number(n))
}

describe('the folder of an embedded database', { concurrency: false }, () => {
  test('belongs to one process at a time, and to nobody once that was killed', async () => {
    const directory = join(parent, 'locked')
    const run = start([EMBEDDED, directory, '3'])
    await eventually(() => assert.match(run.output(), /kept 3/), 60_000)
    // Waiting does not help, so it is not waited for.
    const log = { warn: (text: unknown) => assert.fail(String(text)) } as never
    const opening = waitForDatabase({ engine: 'pglite', directory }, { timeoutMs: 60_000, log })
    await assert.rejects(opening, (error: Error) => {
      assert.ok(error.message.includes(directory), error.message)
      assert.match(error.message, /in use by another process.*DATA_DIR.*DATABASE_URL/)
      return true
    })
    run.child.kill('SIGKILL')
    assert.equal(await run.ended, 'SIGKILL')
    assert.deepEqual(await keptIn(directory), [1, 2, 3])
  })

  test('is refused a second time within one process too', async () => {
    const directory = join(parent, 'locked')
    await using database = await openDatabase({ engine: 'pglite', directory })
    await assert.rejects(openDatabase({ engine: 'pglite', directory }), /in use/)
    await database.ping()
  })

  test('is named when it cannot be opened, and is free again', async () => {
    const directory = join(parent, 'locked')
    await writeFile(join(directory, 'PG_VERSION'), '9')
    const opening = openDatabase({ engine: 'pglite', directory })
    await assert.rejects(opening, /locked cannot be opened:.* made by another version/)
    await writeFile(join(directory, 'PG_VERSION'), '18')
    assert.deepEqual(await keptIn(directory), [1, 2, 3])
  })

  test('is left alone when it holds something else', async () => {
    const directory = join(parent, 'photos')
    await mkdir(directory)
    await writeFile(join(directory, 'holiday.jpg'), '')
    const opening = openDatabase({ engine: 'pglite', directory })
    await assert.rejects(opening, /photos holds something else than a database/)
    assert.deepEqual(await readdir(directory), ['holiday.jpg'])
  })

  test('is whole after a kill at any moment of its first initialisation', async (t) => {
    const folder = join(parent, 'killed')
    const directory = join(folder, 'db')
    const kill = (at: number) =>
      start(['--import', KILL_AT_WRITE, EMBEDDED, directory, '20', 'close'], {
        KILL_UNDER: folder,
        KILL_AT: String(at),
      })

    // Where the moments are: one run that nobody kills.
    const whole = kill(Number.MAX_SAFE_INTEGER)
    assert.equal(await whole.ended, 0, whole.output())
    const renamedAt = Number(/renamed at (\d+)/.exec(whole.output())?.[1])
    const changes = Number(/changes (\d+)/.exec(whole.output())?.[1])
    assert.ok(renamedAt > 1_000 && changes > renamedAt, whole.output())
    await rm(folder, { recursive: true })

    // Ascending, on one folder: each start gets further than the one before, over what that left.
    const moments = Array.from({ length: KILLS - 1 }, (_, i) =>
      Math.ceil(((i + 1) * renamedAt) / (KILLS - 1)),
    )
    for (const at of moments) {
      const run = kill(at)
      assert.equal(await run.ended, 'SIGKILL', `at ${at}: ${run.output()}`)
      assert.ok(!(await readdir(folder)).includes('db'), `at ${at} nothing is in place yet`)
    }
    // And once more between the initialisation and the end, with rows acknowledged.
    const last = kill(Math.floor((renamedAt + 3 * changes) / 4))
    assert.equal(await last.ended, 'SIGKILL', last.output())
    t.diagnostic(`killed at ${moments.join(', ')} of ${changes} changes`)

    const acknowledged = acknowledgedBy(last)
    assert.ok(acknowledged.length > 0, last.output())
    const kept = await keptIn(directory)
    for (const n of acknowledged) assert.ok(kept.includes(n), `row ${n} was lost`)
    assert.deepEqual((await readdir(folder)).sort(), ['db', 'db.lock'])
  })
})

describe('the embedded engine', () => {
  test('lets timers run between awaited queries', async (t) => {
    await using open = await pgliteEngine.create()
    const { db } = open.database
    let sinceTick = 0
    let most = 0
    const timer = setInterval(() => {
      sinceTick = 0
    }, 5)
    for (let i = 0; i < 2_000; i++) {
      await sql`SELECT ${i}::int`.execute(db)
      most = Math.max(most, ++sinceTick)
    }
    clearInterval(timer)
    t.diagnostic(`${most} queries at most`)
    assert.ok(most <= 500, `a timer of 5 ms waited for ${most} queries of 2,000`)
  })

  test('serves in the order of asking', async () => {
    await using open = await pgliteEngine.create()
    const { database } = open
    const order: number[] = []
    await Promise.all(
      [0, 1, 2, 3, 4].map((n) =>
        n % 2
          ? database.transaction(async () => order.push(n))
          : sql`SELECT 1`.execute(database.db).then(() => order.push(n)),
      ),
    )
    assert.deepEqual(order, [0, 1, 2, 3, 4])
  })

  test('makes checkpoints and vacuums by what was written', async () => {
    await using open = await pgliteEngine.create()
    await open.database[Symbol.asyncDispose]()
    await using database = await openDatabase({
      ...(open.options as { engine: 'pglite'; directory: string }),
      maintenance: { everyMs: 20, checkpointBytes: 2 ** 20, vacuumBytes: 2 ** 18 },
    })
    await fillUsers(database)
    await eventually(async () => {
      assert.deepEqual(await wornOf(database), {
        wal: 0,
        dead: 0,
        vacuumed: true,
        analyzed: true,
      })
    })
  })
})

/** Some MiB of changes, with 5,000 dead rows in a table of 5,000. */
async function fillUsers({ db }: Database): Promise<void> {
  await sql`INSERT INTO users (id) SELECT repeat('u', 100) || n FROM generate_series(1, 5000) AS n`.execute(
    db,
  )
  await sql`UPDATE users SET created_at = now()`.execute(db)
}

interface Wear {
  /** Whole MiB of log since the last checkpoint. */
  wal: number
  /** Of the table `users`. */
  dead: number
  vacuumed: boolean
  analyzed: boolean
}

async function wornOf({ db }: Database): Promise<Wear | undefined> {
  await sql`SELECT pg_stat_force_next_flush()`.execute(db)
  const { rows } = await sql<Wear>`
    SELECT floor(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn) / 1048576)::int AS wal,
      n_dead_tup AS dead, vacuum_count > 0 AS vacuumed, analyze_count > 0 AS analyzed
    FROM pg_control_checkpoint(), pg_stat_user_tables WHERE relname = 'users'`.execute(db)
  return rows[0]
}
