import assert from 'node:assert/strict'
import { it } from 'node:test'
import { retryAfterMs } from './retry-after.ts'

const now = Date.parse('2026-11-20T08:00:00Z')

const cases: readonly (readonly [string | undefined, number | undefined])[] = [
  ['0', 0],
  ['120', 120_000],
  [' 7 ', 7_000],
  ['3600', 3_600_000],
  ['3601', 3_600_000],
  ['9'.repeat(400), 3_600_000],
  ['Fri, 20 Nov 2026 08:00:30 GMT', 30_000],
  ['Friday, 20-Nov-26 08:00:30 GMT', 30_000],
  ['Fri, 20 Nov 2026 07:00:00 GMT', 0],
  ['Fri, 20 Nov 2027 08:00:00 GMT', 3_600_000],
  [undefined, undefined],
  ['', undefined],
  ['-5', undefined],
  ['1.5', undefined],
  ['0x10', undefined],
  ['soon', undefined],
  ['2026-11-20T08:00:30Z', undefined],
]

for (const [value, expected] of cases) {
  it(`Retry-After ${JSON.stringify(value?.slice(0, 40))} means ${expected} ms`, () => {
    assert.equal(retryAfterMs(value, now), expected)
  })
}
