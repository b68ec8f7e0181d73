import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GROWING, hasGrowingWord, lowerCaseBytes } from './growing-words.ts'

test('a word counts as it is or in lower case, whichever is more, character by character', () => {
  const cases: [word: string, bytes: number][] = [
    ['abc', 3],
    ['ABC', 3],
    ['Ⱥ', 3],
    ['Ⱦ', 3],
    ['İ', 3],
    // A Kelvin sign has three bytes, a `k` one.
    ['\u212a', 3],
    ['ȺK\u212a', 7],
    ['ẞ', 3],
    ['Ა', 3],
    ['𐐀', 4],
    ['', 0],
  ]
  for (const [word, bytes] of cases) assert.equal(lowerCaseBytes(word), bytes, word)
})

test('the characters that grow are those that JavaScript knows', () => {
  for (let code = 0; code <= 0x10ffff; code++) {
    const character = String.fromCodePoint(code)
    const grows = Buffer.byteLength(character.toLowerCase()) > Buffer.byteLength(character)
    if (grows || GROWING.test(character)) assert.ok(grows && GROWING.test(character), character)
  }
})

test('a text of runs that are nearly long enough costs no time', () => {
  const text = `${`${'a'.repeat(682)} `.repeat(14)}İ`
  const started = process.cpuUsage()
  for (let n = 0; n < 100; n++) hasGrowingWord(text)
  const { user } = process.cpuUsage(started)
  assert.ok(user < 500_000, `${user} µs`)
})

const texts: [name: string, text: string, isRefused: boolean][] = [
  ['683 letters that come to 2,049 bytes', 'Ⱥ'.repeat(683), true],
  ['682 letters that come to 2,046 bytes', 'Ⱥ'.repeat(682), false],
  ['one such letter at the end of 2,045 others', `${'a'.repeat(2_045)}Ⱥ`, true],
  ['such a word in a text', `An oak ${'Ⱥ'.repeat(700)} chair`, true],
  ['such a part of a word', `${'a'.repeat(3_000)}-${'Ⱥ'.repeat(700)}`, true],
  ['what shrinks beside what grows', `${'Ⱥ'.repeat(700)}-${'\u212a'.repeat(700)}`, true],
  ['a blank that PostgreSQL does not see', `${'Ⱥ'.repeat(400)}\ufeff${'Ⱥ'.repeat(400)}`, true],
  ['many such letters in words', 'ȺȺȺȺ ȺȺȺȺ\n'.repeat(1_000), false],
  ['a picture in the text', `<img src="data:image/png;base64,${'iVBORI'.repeat(1_500)}">`, false],
  ['letters that do not grow', '漢'.repeat(10_000), false],
  [
    'one such letter in a text without blanks',
    `İstanbul的产品，${'非常好的产品，质量保证。'.repeat(80)}`,
    false,
  ],
  ['one such letter between tags', `<p>İstanbul</p>${'<b>x</b>'.repeat(400)}`, false],
  ['ten thousand capitals', 'Ж'.repeat(10_000), false],
]
for (const [name, text, isRefused] of texts) {
  test(`${name}: ${isRefused ? 'refused' : 'taken'}`, () => {
    assert.equal(hasGrowingWord(text), isRefused)
  })
}
