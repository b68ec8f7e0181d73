import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { clock, createProgress, grouped, rateOf } from './progress.ts'

/** A progress whose clock and output are at hand. */
function started({ isTTY = false, total }: { isTTY?: boolean; total?: number }) {
  let at = 1_000
  let text = ''
  const progress = createProgress({
    unit: 'products',
    total,
    out: { isTTY, write: (piece) => (text += piece) },
    now: () => at,
  })
  return {
    progress,
    pass: (ms: number) => {
      at += ms
    },
    written: () => {
      const all = text
      text = ''
      return all
    },
  }
}

describe('on a terminal', () => {
  test('one line is written over, with a bar, the rate and the time left', () => {
    const { progress, pass, written } = started({ isTTY: true, total: 1_000 })
    pass(10_000)
    progress.update({ count: 12_345, done: 250 })
    assert.equal(
      written(),
      '\r\u001b[K[######------------------] 25 %  12,345 products  1,235/s  0:30 left',
    )
    pass(10)
    progress.update({ count: 20_000, done: 500 })
    assert.equal(written(), '')
    pass(300)
    progress.update({ count: 20_000, done: 1_000 })
    assert.match(written(), /\[#{24}\] 100 % {2}.* 0:00 left$/)
  })

  test('a note goes above the line, and the line is gone in the end', () => {
    const { progress, pass, written } = started({ isTTY: true })
    progress.note('first')
    assert.equal(written(), 'first\n')
    pass(1_000)
    progress.update({ count: 5, done: 0 })
    written()
    progress.note('second')
    assert.equal(written(), '\r\u001b[Ksecond\n5 products  5/s')
    progress[Symbol.dispose]()
    assert.equal(written(), '\r\u001b[K')
  })
})

test('where the output is kept, a plain line comes now and then', () => {
  const { progress, pass, written } = started({ total: 1_000 })
  for (let second = 0; second < 25; second++) {
    pass(1_000)
    progress.update({ count: second, done: second * 40 })
  }
  assert.deepEqual(written().split('\n'), [
    '36 %  9 products  1/s  0:18 left',
    '76 %  19 products  1/s  0:06 left',
    '',
  ])
})

test('without a known end there is no bar and no time left', () => {
  const { progress, pass, written } = started({})
  pass(20_000)
  progress.update({ count: 10, done: 10 })
  assert.equal(written(), '10 products  1/s\n')
})

test('an empty input divides by nothing', () => {
  const { progress, pass, written } = started({ isTTY: true, total: 0 })
  pass(1_000)
  progress.update({ count: 0, done: 0 })
  assert.match(written(), /\[-{24}\] 0 products {2}0\/s$/)
})

test('numbers are written for people', () => {
  assert.deepEqual([0, 999, 1_000, 1_234_567].map(grouped), ['0', '999', '1,000', '1,234,567'])
  assert.deepEqual([0, 59_600, 3_599_000, 11_045_000].map(clock), [
    '0:00',
    '1:00',
    '59:59',
    '3:04:05',
  ])
  assert.equal(rateOf(10, 0), 10_000)
})
