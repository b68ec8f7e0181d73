import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { FailureRule } from './job.ts'
import { countFailure, decideRetry, type FailureCounts, type Standing } from './retry.ts'

const HOUR_MS = 3_600_000
const retried: FailureRule = { retryable: true, counts: true }
const ours: FailureRule = { retryable: true, counts: false }
const fresh: Standing = { attempts: 1, maxAttempts: 100, ofThisCode: 0, uncounted: 0, ageMs: 0 }

function decide(rule: FailureRule, standing: Partial<Standing> = {}, chance = 0.5) {
  const bounds = { maxAgeMs: 24 * HOUR_MS, random: () => chance }
  return decideRetry(rule, { ...fresh, ...standing }, bounds)
}

function delayAfter(attempts: number, chance: number): number | undefined {
  const decision = decide(retried, { attempts }, chance)
  return decision.move === 'retry' ? decision.delayMs : undefined
}

describe('whether and when a failed attempt is followed by another', () => {
  test('waits grow by three from 2 s to 15 min, chance deciding how much of them is waited', () => {
    const longest = [1, 2, 3, 4, 5, 6, 7, 8, 9, 40].map((n) => delayAfter(n, 1))
    assert.deepEqual(
      longest,
      [2_000, 6_000, 18_000, 54_000, 162_000, 486_000, 900_000, 900_000, 900_000, 900_000],
    )
    assert.deepEqual(
      [1, 2, 3].map((n) => delayAfter(n, 0.5)),
      [1_000, 3_000, 9_000],
    )
    assert.equal(delayAfter(5, 0), 0)
  })

  test('the last attempt allowed is the last', () => {
    assert.equal(decide(retried, { attempts: 7, maxAttempts: 8 }).move, 'retry')
    assert.equal(decide(retried, { attempts: 8, maxAttempts: 8 }).move, 'dead')
  })

  test('a code may allow fewer failures than the job has attempts, never more', () => {
    const twice = { ...retried, maxFailures: 2 }
    assert.equal(decide(twice, { ofThisCode: 1, attempts: 7, maxAttempts: 8 }).move, 'retry')
    assert.equal(decide(twice, { ofThisCode: 2, attempts: 2 }).move, 'dead')
    const often = { ...retried, maxFailures: 50 }
    assert.equal(decide(often, { ofThisCode: 1, attempts: 8, maxAttempts: 8 }).move, 'dead')
  })

  describe('a code with a maximum of its own', () => {
    const outOfMemory = { code: 'render_out_of_memory', rule: { ...retried, maxFailures: 2 } }
    const unknownHost = { code: 'dns_failed', rule: { ...retried, maxFailures: 3 } }
    const lookupTimeout = { code: 'dns_failed', rule: retried }
    const originError = { code: 'origin_error', rule: retried }
    const storageFailed = { code: 'storage_failed', rule: ours }

    const movesAfter = (...failures: { code: string; rule: FailureRule }[]) => {
      let counts: FailureCounts = {}
      let attempts = 0
      return failures.map(({ code, rule }) => {
        if (rule.counts) attempts++
        counts = countFailure(counts, code, rule)
        return decide(rule, { attempts, ofThisCode: counts[code] ?? 0 }).move
      })
    }

    test('is not used up by failures of other codes', () => {
      assert.deepEqual(movesAfter(originError, outOfMemory), ['retry', 'retry'])
      assert.deepEqual(movesAfter(unknownHost, unknownHost, outOfMemory), [
        'retry',
        'retry',
        'retry',
      ])
    })

    test('counts its failures whatever came between them', () => {
      assert.deepEqual(movesAfter(outOfMemory, originError, storageFailed, outOfMemory), [
        'retry',
        'retry',
        'retry',
        'dead',
      ])
    })

    test('is not used up by failures that share the code and have no maximum', () => {
      const lookups = [lookupTimeout, lookupTimeout, lookupTimeout]
      assert.ok(movesAfter(...lookups, unknownHost).every((move) => move === 'retry'))
      const hosts = [unknownHost, unknownHost]
      assert.ok(movesAfter(...hosts, ...lookups).every((move) => move === 'retry'))
      assert.equal(movesAfter(...hosts, ...lookups, unknownHost).at(-1), 'dead')
    })

    test('is not used up by what does not count', () => {
      const uncounted = { code: 'dns_failed', rule: { ...ours, maxFailures: 1 } }
      assert.deepEqual(movesAfter(uncounted, uncounted), ['retry', 'retry'])
    })
  })

  test('what is final is dead at the first attempt', () => {
    assert.equal(decide({ retryable: false, counts: true }).move, 'dead')
    assert.equal(decide({ retryable: false, counts: false }).move, 'dead')
  })

  test('what does not count ends no job by number, but its waits grow all the same', () => {
    const delays = [0, 1, 2, 20].map((uncounted) =>
      decide(ours, { attempts: 8, maxAttempts: 8, uncounted }, 1),
    )
    assert.deepEqual(delays, [
      { move: 'retry', delayMs: 2_000 },
      { move: 'retry', delayMs: 6_000 },
      { move: 'retry', delayMs: 18_000 },
      { move: 'retry', delayMs: 900_000 },
    ])
  })

  test('a Retry-After is the earliest time, spread by up to 2 s, honoured up to an hour', () => {
    const after = (retryAfterMs: number, chance: number, attempts = 1) =>
      decide({ ...retried, retryAfterMs }, { attempts }, chance)
    assert.deepEqual(after(30_000, 0), { move: 'retry', delayMs: 30_000 })
    assert.deepEqual(after(30_000, 0.5), { move: 'retry', delayMs: 31_000 })
    assert.deepEqual(after(30_000, 1, 7), { move: 'retry', delayMs: 900_000 })
    assert.deepEqual(after(5 * HOUR_MS, 0), { move: 'retry', delayMs: HOUR_MS })
  })

  test('nothing is waited for that would come after the greatest age', () => {
    const ageMs = 24 * HOUR_MS - 1_000
    assert.deepEqual(decide(retried, { ageMs }, 0.5), { move: 'retry', delayMs: 1_000 })
    assert.equal(decide(retried, { ageMs }, 0.51).move, 'dead')
    assert.equal(decide(ours, { ageMs: 25 * HOUR_MS }, 0).move, 'dead')
  })

  test('whatever the rule and the standing, a wait is within bounds and a job ends', () => {
    const rules = fc.record(
      {
        retryable: fc.boolean(),
        counts: fc.boolean(),
        maxFailures: fc.integer({ min: 1, max: 20 }),
        retryAfterMs: fc.integer({ min: 0, max: 10 * HOUR_MS }),
      },
      { requiredKeys: ['retryable', 'counts'] },
    )
    const standings = fc.record({
      attempts: fc.integer({ min: 1, max: 200 }),
      maxAttempts: fc.integer({ min: 1, max: 100 }),
      ofThisCode: fc.integer({ min: 0, max: 100 }),
      uncounted: fc.integer({ min: 0, max: 10_000 }),
      ageMs: fc.double({ min: 0, max: 48 * HOUR_MS, noNaN: true }),
    })
    const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(rules, standings, chances, (rule, standing, chance) => {
        const decision = decide(rule, standing, chance)
        if (decision.move === 'dead') return
        assert.ok(rule.retryable)
        assert.ok(!rule.counts || standing.attempts < standing.maxAttempts)
        assert.ok(!rule.counts || standing.ofThisCode < (rule.maxFailures ?? Infinity))
        assert.ok(decision.delayMs >= 0 && decision.delayMs <= HOUR_MS + 2_000)
        assert.ok(standing.ageMs + decision.delayMs <= 24 * HOUR_MS)
      }),
    )
  })
})
