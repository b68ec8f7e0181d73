import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseWords, type SearchWords } from './product-list-words.ts'

const cases: [typed: string, words: SearchWords][] = [
  ['', { text: '', beside: '', last: '' }],
  ['  ', { text: '', beside: '', last: '' }],
  ['cha', { text: 'cha', beside: '', last: "'cha':*" }],
  ['oak cha', { text: 'oak cha', beside: 'oak', last: "'cha':*" }],
  [' oak\t cha ', { text: 'oak cha', beside: 'oak', last: "'cha':*" }],
  ['a or b c', { text: 'a or b c', beside: 'b', last: "'c':*" }],
  ['a OR b', { text: 'a OR b', beside: '', last: "'b':*" }],
  ['"oak or pine" cha', { text: '"oak or pine" cha', beside: '"oak or pine"', last: "'cha':*" }],
  ['oak "folding chair"', { text: 'oak "folding chair"', beside: '', last: '' }],
  ['oak "folding cha', { text: 'oak folding cha', beside: 'oak folding', last: "'cha':*" }],
  ['oak -cha', { text: 'oak -cha', beside: '', last: '' }],
  ['oak -"folding chair"', { text: 'oak -"folding chair"', beside: '', last: '' }],
  ['wi-f', { text: 'wi-f', beside: '', last: "'wi-f':*" }],
  ["o'nei", { text: "o'nei", beside: '', last: "'o''nei':*" }],
  ['a\\b', { text: 'a\\b', beside: '', last: "'a\\\\b':*" }],
  ['what?', { text: 'what?', beside: '', last: '' }],
  ['žlu', { text: 'žlu', beside: '', last: "'žlu':*" }],
]
for (const [typed, words] of cases) {
  test(`${JSON.stringify(typed)} is taken apart`, () => {
    assert.deepEqual(parseWords(typed), words)
  })
}

test('of a long text the beginning counts', () => {
  assert.equal(parseWords('a '.repeat(5_000)).text.split(' ').length, 32)
  assert.equal(parseWords('a'.repeat(10_000)).text.length, 1_000)
})

const grown = [
  'Ⱥ'.repeat(700),
  `-${'Ⱥ'.repeat(700)}`,
  `"${'Ⱥ'.repeat(700)}"`,
  `${'Ⱥ'.repeat(350)}\ufeff${'Ⱥ'.repeat(350)}`,
  'İ'.repeat(900),
  `${'I'.repeat(750)}${'Ⱥ'.repeat(245)}`,
]
for (const word of grown) {
  test(`${word.slice(0, 3)}… of ${word.length} is no word: the others are searched for`, () => {
    const { text, beside, last } = parseWords(`${word} oak`)
    assert.deepEqual([text.replace(/"\s*"/g, '').replace('-', '').trim(), last], ['oak', "'oak':*"])
    assert.ok(beside.length <= 5)
  })
}

test('what does not grow too long is searched for, however long it is', () => {
  const chinese = '非常好的产品，'.repeat(140)
  for (const words of ['Ⱥ'.repeat(600), 'I'.repeat(990), '漢'.repeat(990), `${chinese}İ`])
    assert.equal(parseWords(words).text, words)
})

test('whatever is typed, the parts are bounded and nothing is invented', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 2_000 }), (typed) => {
      const { text, beside } = parseWords(typed)
      assert.ok(text.length <= 1_000 && beside.length <= text.length)
      const letters = new Set(typed)
      assert.ok([...text].every((one) => one === ' ' || letters.has(one) || !one.isWellFormed()))
    }),
  )
})
