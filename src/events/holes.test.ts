import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createHoles } from './holes.ts'

test('the holes are what was skipped, not filled and not forgotten', () => {
  const move = fc.oneof(
    fc.record({ kind: fc.constant('skip' as const), by: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ kind: fc.constant('fill' as const), id: fc.integer({ min: 1, max: 60 }) }),
    fc.record({ kind: fc.constant('forget' as const), id: fc.integer({ min: 1, max: 60 }) }),
  )
  fc.assert(
    fc.property(fc.array(move, { maxLength: 40 }), (moves) => {
      const holes = createHoles()
      const model = new Set<number>()
      let last = 0
      for (const step of moves) {
        if (step.kind === 'skip') {
          const next = last + step.by
          holes.skip(last, next)
          for (let id = last + 1; id < next; id++) model.add(id)
          last = next
        } else if (step.kind === 'fill') {
          holes.fill(step.id)
          model.delete(step.id)
        } else {
          holes.forgetThrough(step.id)
          for (const id of model) if (id <= step.id) model.delete(id)
        }
      }
      const ids = holes.ranges.flatMap(({ from, to }) =>
        Array.from({ length: to - from + 1 }, (_, n) => from + n),
      )
      assert.deepEqual(ids, [...model])
    }),
  )
})

test('a million ids of one rollback are one range', () => {
  const holes = createHoles()
  holes.skip(10, 1_000_011)
  assert.deepEqual(holes.ranges, [{ from: 11, to: 1_000_010 }])
})
