import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createPositions, type Positions } from './kafka-positions.ts'

function assigned(...partitions: number[]): Positions {
  const positions = createPositions()
  positions.assign(1, partitions)
  return positions
}

function begin(positions: Positions, partition: number, offset: bigint, generation = 1) {
  return positions.begin({ partition, offset, generation })
}

/** The offsets to be kept, by partition, all of which the group then has. */
function keep(positions: Positions): [number, bigint][] {
  return positions.moves().map(({ partition, offset, confirm }) => {
    confirm()
    return [partition, offset]
  })
}

describe('positions', () => {
  test('move over what was answered, up to the first record that was not', () => {
    const positions = assigned(0)
    const [first, second, third] = [5n, 6n, 9n].map((offset) => begin(positions, 0, offset))
    second?.()
    assert.deepEqual(keep(positions), [])
    first?.()
    assert.deepEqual(keep(positions), [[0, 9n]])
    third?.()
    assert.deepEqual(keep(positions), [[0, 10n]])
    assert.deepEqual(keep(positions), [])
  })

  test('are told again until the group has them', () => {
    const positions = assigned(0)
    begin(positions, 0, 1n)?.()
    const [unconfirmed] = positions.moves()
    assert.deepEqual(keep(positions), [[0, unconfirmed?.offset]])
  })

  test('are kept for each partition that is ours', () => {
    const positions = assigned(3, 7)
    begin(positions, 3, 1n)
    begin(positions, 7, 1n)?.()
    assert.equal(begin(positions, 5, 1n), undefined)
    assert.deepEqual(keep(positions), [[7, 2n]])
  })

  test('do not begin a record twice', () => {
    const positions = assigned(0)
    begin(positions, 0, 5n)
    assert.equal(begin(positions, 0, 5n), undefined)
    assert.equal(begin(positions, 0, 4n), undefined)
  })

  test('go on over a generation in partitions that stay, and not in those that go', () => {
    const positions = assigned(0, 1)
    const [stays, goes] = [begin(positions, 0, 5n), begin(positions, 1, 5n)]
    positions.assign(2, [0])
    assert.equal(begin(positions, 0, 5n), undefined)
    stays?.()
    goes?.()
    assert.deepEqual(keep(positions), [[0, 6n]])
  })

  test('begin afresh in partitions that somebody else had meanwhile, without what was fetched before', () => {
    const positions = assigned(0, 1)
    for (const partition of [0, 1]) begin(positions, partition, 5n)
    positions.assign(2, [0])
    positions.assign(3, [0, 1])
    assert.equal(begin(positions, 0, 5n), undefined)
    assert.equal(begin(positions, 1, 6n), undefined)
    assert.ok(begin(positions, 1, 3n, 3))
    positions.assign(9, [0, 1])
    for (const partition of [0, 1]) assert.ok(begin(positions, partition, 2n, 9))
  })

  test('go on where a member joins the same generation once more', () => {
    const positions = assigned(0)
    const answered = begin(positions, 0, 5n)
    positions.assign(1, [0])
    assert.equal(begin(positions, 0, 5n), undefined)
    answered?.()
    assert.deepEqual(keep(positions), [[0, 6n]])
  })

  test('end with their group: one that was made anew counts its generations from the start', () => {
    const positions = createPositions()
    positions.assign(7, [0])
    begin(positions, 0, 4n, 7)?.()
    assert.throws(() => positions.assign(1, [0]), /made anew/)
  })

  test('never pass what is open, and reach the end when nothing is, in whatever order records are answered', () => {
    const order = fc.array(fc.nat(99), { maxLength: 30 })
    fc.assert(
      fc.property(order, (answers) => {
        const positions = assigned(0)
        const open = new Map<bigint, () => void>()
        let reached = 0n
        const take = () => {
          for (const [, offset] of keep(positions)) {
            assert.ok(offset > reached)
            reached = offset
          }
          for (const offset of open.keys()) assert.ok(offset >= reached)
        }
        for (let offset = 0n; offset < 30n; offset++) {
          const answered = begin(positions, 0, offset)
          if (answered) open.set(offset, answered)
        }
        for (const answer of answers) {
          const offset = [...open.keys()][answer % Math.max(1, open.size)]
          if (offset === undefined) continue
          open.get(offset)?.()
          open.delete(offset)
          take()
        }
        for (const answered of open.values()) answered()
        open.clear()
        take()
        assert.equal(reached, 30n)
      }),
    )
  })
})
