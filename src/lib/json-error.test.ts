import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { jsonErrorOffset } from './json-error.ts'

const mistakes: [text: string, offset: number][] = [
  ['', 0],
  ['  ', 2],
  ['{', 1],
  ['{"a":x}', 5],
  ['[1,]', 3],
  ['{"a":1,}', 7],
  ['{"a" 1}', 5],
  ['{a: 1}', 1],
  ['"abc', 4],
  ['"a\nb"', 2],
  ['"a\\q"', 2],
  ['"\\u12g4"', 1],
  ['123 4', 4],
  ['01', 1],
  ['1.', 1],
  ['nul', 0],
  ['[1}', 2],
  ['{"a":1]', 6],
  ["{'a': 1}", 1],
  ['[NaN]', 1],
  ['\u00a0{}', 0],
]
for (const [text, offset] of mistakes) {
  test(`${JSON.stringify(text)} stops being JSON at ${offset}`, () => {
    assert.throws(() => JSON.parse(text))
    assert.equal(jsonErrorOffset(text), offset)
  })
}

const isJson = (text: string) => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

test('it calls JSON what JSON.parse calls JSON, whatever was changed in the text', () => {
  const characters = fc.constantFrom(...'{}[]",:\\ \n\t01.eE+-tfnu"xé\u0000'.split(''), '')
  const edited = fc
    .tuple(fc.json(), fc.nat(), characters, fc.boolean())
    .map(([text, at, char, replace]) => {
      const offset = at % (text.length + 1)
      return text.slice(0, offset) + char + text.slice(offset + (replace ? 1 : 0))
    })
  fc.assert(
    fc.property(fc.oneof(edited, fc.string(), fc.json()), (text) => {
      assert.equal(jsonErrorOffset(text) === undefined, isJson(text), text)
    }),
    { numRuns: 3_000 },
  )
})

test('what stands before the offset is not at fault', () => {
  fc.assert(
    fc.property(fc.json(), fc.nat(), (text, at) => {
      const cut = text.slice(0, at % (text.length + 1))
      const offset = jsonErrorOffset(cut)
      // A cut literal (`tru`) is at fault as a whole; anything else only because it ends.
      if (offset !== undefined)
        assert.match(cut.slice(offset), /^(|[a-z]{1,4}|[-.eE+].{0,1}|\\.*)$/s)
    }),
    { numRuns: 1_000 },
  )
})

test('deep nesting neither overflows nor slows it', () => {
  assert.equal(jsonErrorOffset('['.repeat(500_000)), 500_000)
})
