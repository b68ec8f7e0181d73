// Every two moves of the ledger that can meet on one row, on PostgreSQL: whatever the timing, one of
// them wins, and the row shows which. Each pair is let loose some hundred times; where both can win,
// both must have won at times, or the test would not have raced anything.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Database } from '../../src/database/database.ts'
import { AppError } from '../../src/errors.ts'
import { bindJob, bindJobs } from '../../src/jobs/bind.ts'
import { claim, postpone } from '../../src/jobs/claim.ts'
import { fail, lockClaimed } from '../../src/jobs/fail.ts'
import { handBack } from '../../src/jobs/hand-back.ts'
import { extendLeases } from '../../src/jobs/heartbeat.ts'
import type { ClaimedJob } from '../../src/jobs/job.ts'
import { buryDead } from '../../src/jobs/letters.ts'
import { purgeDone } from '../../src/jobs/purge.ts'
import { reap } from '../../src/jobs/reaper.ts'
import { makeDueNow, type NewJob, redrive, redriveAll } from '../../src/jobs/redrive.ts'
import { revive } from '../../src/jobs/revive.ts'
import { ring, unring } from '../../src/jobs/ring.ts'
import { settle } from '../../src/jobs/settle.ts'
import type { DeadLetter } from '../../src/queue/queue.ts'
import { describeOnPostgres, postgresEngine, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import {
  addJob,
  addJobs,
  age,
  type JobRow,
  readJob,
  record,
  settings,
  silent,
  testJob,
} from './support.ts'

const ROUNDS = Number(process.env.TEST_RACE_ROUNDS ?? 200)
/** For rounds beyond those, until everybody who can has won; they begin ever further apart, up to the spread. */
const PATIENCE_MS = 60_000
const LONGEST_SPREAD_MS = 1_000
const HOUR_MS = 3_600_000
/** Leaves the transaction's context, as another process would be. */
const outside = AsyncLocalStorage.snapshot()
const bounds = { maxAgeMs: 24 * HOUR_MS, random: () => 0.5 }
const verdict = {
  failure: { code: 'origin_error', detail: 'as the test wants it', retryable: true },
  rule: { retryable: true, counts: true },
}

describeOnPostgres('two moves that meet on one job', () => {
  let open: TestDatabase
  let database: Database
  before(async () => {
    open = await postgresEngine.create()
    database = open.database
  })
  after(() => open[Symbol.asyncDispose]())

  /** A job of a kind of its own, so that a reaper reaps no other; `job` is how its claim sees it. */
  interface Subject {
    id: string
    name: string
    job: ClaimedJob
    /** Of one that is dead. */
    death?: string
  }
  type Prepare = () => Promise<Subject>
  /** True when it moved the row. */
  type Move = (subject: Subject) => Promise<boolean>

  const { handler } = [...record().jobs.values()][0]!
  let kinds = 0

  const claimBy = (worker: string, jobId: string) =>
    database.transaction((tx) => claim(tx, { jobId, worker, leaseMs: settings.leaseMs }))

  const pending: Prepare = async () => {
    const name = `test.race.${++kinds}`
    const id = await addJob(database, { name })
    return { id, name, job: { id, name } as ClaimedJob }
  }
  const running: Prepare = async () => {
    const { id, name } = await pending()
    const job = await claimBy('first', id)
    assert.ok(job)
    return { id, name, job }
  }
  const expired: Prepare = async () => {
    const subject = await running()
    await age(database, subject.id, settings.leaseMs + 1)
    return subject
  }
  const announced: Prepare = async () => {
    const subject = await pending()
    await sql`
      UPDATE jobs SET ring_again_at = now() - interval '1 second', rings = 1
      WHERE id = ${subject.id}`.execute(database.db)
    return subject
  }
  const done: Prepare = async () => {
    const subject = await running()
    await settles(subject)
    await age(database, subject.id, HOUR_MS)
    return subject
  }
  const dead: Prepare = async () => {
    const subject = await running()
    await fails({ retryable: false })(subject)
    const { death } = await readJob(database, subject.id)
    return { ...subject, death: death! }
  }

  const claims: Move = async ({ id }) => (await claimBy('second', id)) !== undefined
  const postpones: Move = async ({ id }) => {
    await postpone(database.db, id, HOUR_MS)
    const { state, due_at } = await readJob(database, id)
    return state === 'pending' && Date.parse(due_at) > Date.now() + HOUR_MS / 2
  }
  const settles: Move = async ({ job }) =>
    (await database.transaction((tx) => settle(tx, job, async () => 'done'))) !== undefined
  const handsBack: Move = async ({ job }) =>
    (await database.transaction((tx) => handBack(tx, job))) !== undefined
  const fails =
    ({ retryable = true } = {}): Move =>
    async ({ job }) =>
      await database.transaction(async (tx) => {
        const locked = await lockClaimed(tx, job)
        if (!locked) return false
        const judged = { ...verdict, rule: { ...verdict.rule, retryable } }
        await fail(tx, { job: { ...job }, locked, handler, verdict: judged, bounds })
        return true
      })
  const heartbeats: Move = async ({ job }) =>
    (await extendLeases(database.db, [job], settings.leaseMs)).has(job.claim)
  const reaps: Move = async ({ name }) => {
    let reaped = 0
    const jobs = bindJobs(
      bindJob({ ...testJob, name }, { ...handler, onCommitted: () => void reaped++ }),
    )
    await reap({ database, jobs, settings, log: silent, random: () => 0 })
    return reaped > 0
  }
  const again = ({ id: key, name }: Subject): NewJob => ({
    id: randomUUID(),
    name,
    key,
    payload: { n: 1 },
    lane: 'lane',
    maxAttempts: 3,
    trace: null,
  })
  const redrives: Move = async (subject) =>
    (await database.transaction((tx) => redrive(tx, again(subject)))) !== undefined
  const redrivesAll: Move = async (subject) =>
    (await database.transaction((tx) => redriveAll(tx, [again(subject)]))).length > 0
  const revives: Move = async ({ id, name, death }) => {
    const jobs = bindJobs(bindJob({ ...testJob, name }, handler))
    const options = { jobId: id, death: death!, jobs }
    return (await database.transaction((tx) => revive(tx, options))) === 'revived'
  }
  /** The deaths that a queue was told of. */
  const told = new Set<string>()
  const unburied = new AppError('unavailable', 'The queue takes no letters.')
  /** Marks a death, tells the queue of it, and marks it again by the queue's answer. */
  const buries =
    ({ taken = true, withinMs = 3 } = {}): Move =>
    async ({ id }) => {
      let isTold = false
      const bury = async (letters: readonly DeadLetter[]) => {
        isTold ||= letters.some(({ jobId }) => jobId === id)
        // Long enough for the other move to come between the marks.
        await sleep(Math.random() * withinMs)
        if (!taken) throw unburied
        for (const { death } of letters) told.add(death)
      }
      await buryDead({ database, bury, definitions: [] }, new AbortController().signal).catch(
        (error) => assert.equal(error, unburied),
      )
      return isTold
    }
  const makesDue: Move = async ({ id, name }) =>
    await database.transaction((tx) => makeDueNow(tx, name, id))
  const rings: Move = async ({ id }) =>
    (await ring(database, { window: 100_000, ringAgainMs: 15_000 })).includes(id)
  const unrings: Move = async ({ id }) => {
    await unring(database.db, [id])
    return true
  }
  const purges: Move = async () =>
    (await purgeDone(database.db, HOUR_MS / 2, new AbortController().signal)) > 0

  interface Race {
    from: Prepare
    moves: readonly Move[]
    /** Moves that look at the whole ledger race one subject at a time. */
    alone?: boolean
    /** Gets who won, in the order of `moves`. */
    check(won: boolean[], row: JobRow, subject: Subject): void
    /** Who must have won at least once, for the race to have been one. */
    contested?: readonly number[]
  }

  const race = async ({ from, moves, alone, check, contested = [0, 1] }: Race) => {
    const wins = moves.map(() => 0)
    let spreadMs = 3
    const round = async () => {
      const subject = await from()
      const won = await Promise.all(
        moves.map(async (move) => {
          await sleep(Math.random() * spreadMs)
          return await move(subject)
        }),
      )
      for (const [index, has] of won.entries()) wins[index] = (wins[index] ?? 0) + Number(has)
      check(won, await readByKey(subject), subject)
    }
    const width = alone ? 1 : 5
    await sql`DELETE FROM jobs`.execute(database.db)
    const rounds = () => Promise.all(Array.from({ length: width }, round))
    for (let i = 0; i < ROUNDS; i += width) await rounds()
    // Where a move is longer than its start can be earlier, as on a slow machine, it is never the first.
    const patience = AbortSignal.timeout(PATIENCE_MS)
    while (!contested.every((index) => wins[index]) && !patience.aborted) {
      spreadMs = Math.min(2 * spreadMs, LONGEST_SPREAD_MS)
      await rounds()
    }
    for (const index of contested) assert.ok(wins[index], `never won: ${wins}`)
  }
  /** A job that was purged and redriven has another id. As JSON, where a time may be `infinity`. */
  const readByKey = async ({ id, name }: Subject) => {
    const { rows } = await sql<{ job: JobRow }>`
      SELECT to_jsonb(jobs) AS job FROM jobs WHERE name = ${name} AND key = ${id}`.execute(
      database.db,
    )
    assert.equal(rows.length, 1)
    return rows[0]!.job
  }
  const oneOf = (won: boolean[]) => assert.equal(won.filter(Boolean).length, 1, String(won))
  /** As good as new, and the next announcer sees it. */
  const assertAnew = ({ state, attempts, death, error, rings, ring_again_at }: JobRow) =>
    assert.deepEqual(
      { state, attempts, death, error, rings, ring_again_at },
      { state: 'pending', attempts: 0, death: null, error: null, rings: 0, ring_again_at: null },
    )

  test('claim and claim: eight at once, one has it', async () => {
    await race({
      from: pending,
      moves: Array(8).fill(claims),
      check: (won, row) => {
        oneOf(won)
        assert.equal(row.attempts, 1)
      },
    })
  })

  test('claim and putting off', async () => {
    await race({
      from: pending,
      moves: [claims, postpones],
      check: (won, row) => {
        oneOf(won)
        assert.equal(row.state, won[0] ? 'running' : 'pending')
      },
    })
  })

  test('claim and redrive, of a dead job: only what was redriven is claimed', async () => {
    await race({
      from: dead,
      moves: [claims, redrives],
      check: ([claimed, redriven], row) => {
        assert.ok(redriven)
        assert.equal(row.state, claimed ? 'running' : 'pending')
        assert.equal(row.attempts, claimed ? 1 : 0)
        assert.equal(row.death, null)
      },
    })
  })

  test('claim and redrive, of a pending job: there is nothing to redrive', async () => {
    await race({
      from: pending,
      moves: [claims, redrives],
      contested: [0],
      check: ([claimed, redriven], row) => {
        assert.equal(redriven, false)
        // Passed over for the instant in which the redrive looked at the row: another bell follows.
        assert.equal(row.state, claimed ? 'running' : 'pending')
      },
    })
  })

  test('claim and making due', async () => {
    await race({
      from: announced,
      moves: [claims, makesDue],
      check: ([claimed, made], row) => {
        assert.ok(claimed || made)
        assert.equal(row.state, claimed ? 'running' : 'pending')
        assert.equal(row.rings, made ? 0 : 1)
        assert.equal(row.ring_again_at, null)
      },
    })
  })

  test('claim and ring: what runs is not announced', async () => {
    await race({
      from: announced,
      alone: true,
      moves: [claims, rings],
      check: ([claimed, rung], row) => {
        assert.ok(claimed || rung)
        assert.equal(row.state, claimed ? 'running' : 'pending')
        assert.equal(row.ring_again_at === null, claimed)
      },
    })
  })

  test('claim and taking a ring back', async () => {
    await race({
      from: announced,
      moves: [claims, unrings],
      check: ([claimed], row) => {
        assert.equal(row.state, claimed ? 'running' : 'pending')
        assert.equal(row.ring_again_at, null)
      },
    })
  })

  test('ring and ring: a bell is rung by one announcer, and the others do not wait', async () => {
    await race({
      from: announced,
      alone: true,
      moves: [rings, rings, rings],
      check: (won, row) => {
        oneOf(won)
        assert.equal(row.rings, 2)
      },
    })
  })

  test('four announcers at once keep to one window, round after round', async () => {
    await sql`DELETE FROM jobs`.execute(database.db)
    await addJobs(database, 2_000)
    // Without statistics the plan is a matter of luck: 0.3 to 38 s.
    await sql`ANALYZE jobs`.execute(database.db)
    for (let i = 0; i < 30; i++) {
      const rounds = Array.from({ length: 4 }, () =>
        ring(database, { window: 50, ringAgainMs: 15_000 }),
      )
      const rung = (await Promise.all(rounds)).flat()
      assert.equal(rung.length, 50)
      await sql`DELETE FROM jobs WHERE id = ANY(${rung}::uuid[])`.execute(database.db)
    }
  })

  test('an announcer does not wait for another', async () => {
    await addJob(database)
    await database.transaction(async (tx) => {
      await sql`SELECT FROM announcer FOR UPDATE`.execute(tx)
      const elsewhere = await outside(() => ring(database, { window: 50, ringAgainMs: 15_000 }))
      assert.deepEqual(elsewhere, [])
    })
  })

  test('a claim does not wait for a row that somebody has locked', async () => {
    const subject = await announced()
    await database.transaction(async (tx) => {
      await makeDueNow(tx, subject.name, subject.id)
      assert.equal(await outside(() => claims(subject)), false)
    })
    assert.equal(await claims(subject), true)
  })

  test('ring and redrive', async () => {
    await race({
      from: dead,
      alone: true,
      moves: [rings, redrives],
      check: ([rung, redriven], row) => {
        assert.ok(redriven)
        assert.equal(row.state, 'pending')
        assert.equal(row.rings, rung ? 1 : 0)
      },
    })
  })

  test('making due and ring: what was rung before is due to be rung again', async () => {
    await race({
      from: announced,
      alone: true,
      moves: [makesDue, rings],
      check: ([made, rung], row) => {
        assert.ok(made)
        assert.equal(row.state, 'pending')
        assert.ok(row.rings === 0 || (row.rings === 1 && rung), `${row.rings} rings`)
        assert.equal(row.ring_again_at === null, row.rings === 0)
      },
    })
  })

  test('making due and taking a ring back', async () => {
    await race({
      from: announced,
      moves: [makesDue, unrings],
      check: ([made], row) => {
        assert.ok(made)
        assert.deepEqual([row.state, row.rings, row.ring_again_at], ['pending', 0, null])
      },
    })
  })

  for (const [name, moves] of [
    ['putting off and making due', [postpones, makesDue]],
    ['putting off and ring', [postpones, rings]],
    ['putting off and taking a ring back', [postpones, unrings]],
    ['putting off and redrive of all', [postpones, redrivesAll]],
    ['ring and taking a ring back', [rings, unrings]],
    ['ring and redrive of all', [rings, redrivesAll]],
    ['taking a ring back and redrive of all', [unrings, redrivesAll]],
    ['making due and redrive of all', [makesDue, redrivesAll]],
  ] as const) {
    test(`${name}: the job goes on waiting, and is announced or will be`, async () => {
      await race({
        from: announced,
        alone: moves.some((move) => move === rings),
        moves,
        check: (won, row) => {
          for (const [index, move] of moves.entries())
            if (move === makesDue || move === redrivesAll) assert.ok(won[index])
          assert.deepEqual([row.state, row.attempts], ['pending', 0])
          if (row.ring_again_at !== null) assert.ok(Date.parse(row.ring_again_at) > Date.now())
        },
      })
    })
  }

  test('settle and settle, of one claim', async () => {
    await race({ from: running, moves: [settles, settles], check: oneOf })
  })

  for (const [name, move, state] of [
    ['retry', fails(), 'pending'],
    ['death', fails({ retryable: false }), 'dead'],
    ['hand-back', handsBack, 'pending'],
  ] as const) {
    test(`settle and ${name}, of one claim`, async () => {
      await race({
        from: running,
        moves: [settles, move],
        check: (won, row) => {
          oneOf(won)
          assert.equal(row.state, won[0] ? 'done' : state)
        },
      })
    })
  }

  for (const [name, move, state] of [
    ['settle', settles, 'done'],
    ['retry', fails(), 'pending'],
    ['death', fails({ retryable: false }), 'dead'],
    ['hand-back', handsBack, 'pending'],
    ['heartbeat', heartbeats, 'running'],
  ] as const) {
    test(`${name} and reap, of a lease that ran out`, async () => {
      await race({
        from: expired,
        moves: [move, reaps],
        check: (won, row) => {
          oneOf(won)
          assert.equal(row.state, won[0] ? state : 'pending')
          assert.equal(row.error?.code === 'worker_lost', won[1])
        },
      })
    })
  }

  test('reap and reap', async () => {
    await race({
      from: expired,
      moves: [reaps, reaps, reaps],
      check: (won, row) => {
        oneOf(won)
        assert.equal(row.attempts, 1)
      },
    })
  })

  test('reap and redrive: the job is lost first, and then it was not dead', async () => {
    await race({
      from: expired,
      moves: [reaps, redrives],
      contested: [0],
      check: ([, redriven], row) => {
        assert.equal(redriven, false)
        assert.notEqual(row.state, 'dead')
      },
    })
  })

  test('reap and claim, of a lost job that is due at once', async () => {
    // A single claim comes too early every time where the reaper is slow.
    const claimsInTheEnd: Move = async (subject) => {
      for (let tries = 0; tries < 100; tries++) if (await claims(subject)) return true
      return false
    }
    await race({
      from: expired,
      moves: [reaps, claimsInTheEnd],
      check: ([reaped, claimed], row) => {
        assert.ok(!claimed || reaped)
        assert.equal(row.state, claimed || !reaped ? 'running' : 'pending')
      },
    })
  })

  for (const [name, move] of [
    ['settle', settles],
    ['retry', fails()],
    ['hand-back', handsBack],
  ] as const) {
    test(`${name} and heartbeat: the move is made, and the lease ends with it`, async () => {
      await race({
        from: running,
        moves: [move, heartbeats],
        check: ([moved], row) => {
          assert.ok(moved)
          assert.equal(row.lease_until, null)
        },
      })
    })
  }

  test('settle and redrive: only what is done is redriven', async () => {
    await race({
      from: running,
      moves: [settles, redrives],
      check: ([settled, redriven], row) => {
        assert.ok(settled)
        assert.equal(row.state, redriven ? 'pending' : 'done')
      },
    })
  })

  test('redrive and redrive: one says so', async () => {
    await race({ from: dead, moves: [redrives, redrives], check: oneOf })
  })

  test('putting off and redrive, of a dead job: only what was redriven is put off', async () => {
    await race({
      from: dead,
      moves: [postpones, redrives],
      check: ([postponed, redriven], row) => {
        assert.ok(redriven)
        assertAnew(row)
        assert.equal(Date.parse(row.due_at) > Date.now(), postponed)
      },
    })
  })

  test('revive and revive, by the same message: one does', async () => {
    await race({
      from: dead,
      moves: [revives, revives, revives],
      check: (won, row) => {
        oneOf(won)
        assertAnew(row)
      },
    })
  })

  test('revive and redrive: one does', async () => {
    await race({
      from: dead,
      moves: [revives, redrives],
      check: (won, row) => {
        oneOf(won)
        assertAnew(row)
      },
    })
  })

  test('revive and redrive of all: the message comes too late, or changes nothing', async () => {
    await race({
      from: dead,
      moves: [revives, redrivesAll],
      check: ([, redriven], row) => {
        assert.ok(redriven)
        assertAnew(row)
      },
    })
  })

  test('revive and claim: only what was revived is claimed', async () => {
    await race({
      from: dead,
      moves: [revives, claims],
      check: ([revived, claimed], row) => {
        assert.ok(revived)
        assert.equal(row.state, claimed ? 'running' : 'pending')
        assert.equal(row.attempts, claimed ? 1 : 0)
        assert.equal(row.death, null)
      },
    })
  })

  test('burial and burial: a death is told by one', async () => {
    await race({
      from: dead,
      alone: true,
      moves: [buries(), buries(), buries()],
      check: (won, row) => {
        oneOf(won)
        assert.equal(row.ring_again_at, 'infinity')
      },
    })
  })

  for (const [name, move] of [
    ['redrive', redrives],
    ['revive', revives],
  ] as const) {
    for (const taken of [true, false]) {
      const burial = taken ? 'burial' : 'burial that fails'
      test(`${burial} and ${name}: what lives again bears no mark`, async () => {
        await race({
          from: dead,
          alone: true,
          moves: [buries({ taken }), move],
          check: ([, moved], row) => {
            assert.ok(moved)
            assertAnew(row)
          },
        })
      })
    }

    test(`burial and ${name} of a job that dies again: no death is taken for another`, async () => {
      const movesAndDies: Move = async (subject) => {
        const moved = await move(subject)
        // Passed over for the instant in which a mark looks at the row.
        const job = await eventually(
          async () => (await claimBy('second', subject.id)) ?? assert.fail('nothing to claim'),
        )
        return moved && (await fails({ retryable: false })({ ...subject, job }))
      }
      await race({
        from: dead,
        alone: true,
        moves: [buries({ withinMs: 30 }), movesAndDies],
        check: ([, died], row, { death }) => {
          assert.ok(died)
          assert.equal(row.state, 'dead')
          assert.notEqual(row.death, death)
          assert.equal(row.ring_again_at === 'infinity', told.has(row.death!))
        },
      })
    })
  }

  test('redrive and purge: the job is there afterwards, whoever was faster', async () => {
    await race({
      from: done,
      alone: true,
      moves: [redrives, purges],
      check: ([redriven], row) => {
        assert.ok(redriven)
        assert.equal(row.state, 'pending')
      },
    })
  })

  test('redrive and redrive of a purged job: one says so, and there is one row', async () => {
    const purged: Prepare = async () => {
      const subject = await pending()
      await sql`DELETE FROM jobs WHERE id = ${subject.id}`.execute(database.db)
      return subject
    }
    await race({ from: purged, moves: [redrives, redrives], check: oneOf })
  })

  test('claim and redrive of all, of a job that waits to be claimed', async () => {
    await race({
      from: announced,
      moves: [claims, redrivesAll],
      check: ([claimed, redriven], row) => {
        assert.ok(claimed || redriven)
        assert.equal(row.state, claimed ? 'running' : 'pending')
        assert.equal(row.attempts, claimed ? 1 : 0)
        if (!claimed) assert.equal(row.ring_again_at, null, 'another bell follows')
      },
    })
  })

  test('settle and redrive of all: only what is done is redriven', async () => {
    await race({
      from: running,
      moves: [settles, redrivesAll],
      check: ([settled, redriven], row) => {
        assert.ok(settled)
        assert.equal(row.state, redriven ? 'pending' : 'done')
      },
    })
  })

  for (const retryable of [true, false]) {
    test(`failure and redrive of all, ${retryable ? 'retryable' : 'final'}`, async () => {
      await race({
        from: running,
        moves: [fails({ retryable }), redrivesAll],
        check: ([failed, redriven], row) => {
          assert.ok(failed)
          assert.equal(row.state, redriven || retryable ? 'pending' : 'dead')
          assert.equal(row.attempts, redriven ? 0 : 1)
        },
      })
    })
  }

  test('reap and redrive of all: lost first, or running still', async () => {
    await race({
      from: expired,
      moves: [reaps, redrivesAll],
      check: ([reaped, redriven], row) => {
        // Passed over for the instant in which the redrive looked at the row: the next round finds it.
        assert.ok(reaped || !redriven)
        assert.deepEqual(
          [row.state, row.attempts],
          [reaped ? 'pending' : 'running', redriven ? 0 : 1],
        )
      },
    })
  })

  test('redrive of all and purge: the job is there afterwards, whoever was faster', async () => {
    await race({
      from: done,
      alone: true,
      moves: [redrivesAll, purges],
      check: ([redriven], row) => {
        assert.ok(redriven)
        assert.equal(row.state, 'pending')
      },
    })
  })

  test('redrives of all of the same jobs, each in its own order: none waits for the other for ever', async () => {
    for (let round = 0; round < ROUNDS; round += 5) {
      const subjects = await Promise.all(Array.from({ length: 8 }, dead))
      const orders = [subjects, subjects.toReversed(), subjects.toReversed(), subjects]
      const redriven = await Promise.all(
        orders.map((order) => database.transaction((tx) => redriveAll(tx, order.map(again)))),
      )
      for (const keys of redriven) assert.equal(keys.length, subjects.length)
    }
  })
})
