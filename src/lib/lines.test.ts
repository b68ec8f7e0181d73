import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { splitLines } from './lines.ts'

async function* inPieces(text: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0
  for (let turn = 0; at < text.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    yield text.subarray(at, at + size)
    at += size
  }
}

async function linesOf(text: string, sizes: readonly number[], maxBytes = 1_000) {
  const lines: [number: number, text: string | undefined, end: number][] = []
  for await (const { number, bytes, end } of splitLines(inPieces(Buffer.from(text), sizes), {
    maxBytes,
  }))
    lines.push([number, bytes?.toString(), end])
  return lines
}

test('lines are the same however their bytes arrive', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: fc.constantFrom('a', 'ü', '\r', '\u2028') })),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      async (texts, sizes) => {
        const text = texts.map((line) => `${line}\n`).join('')
        const endOf = (at: number) => Buffer.byteLength(`${texts.slice(0, at + 1).join('\n')}\n`)
        assert.deepEqual(
          await linesOf(text, sizes),
          texts.map((line, at) => [at + 1, line, endOf(at)]),
        )
      },
    ),
  )
})

test('a last line needs no line feed, an empty input has no line', async () => {
  assert.deepEqual(await linesOf('a\nb', [2]), [
    [1, 'a', 2],
    [2, 'b', 3],
  ])
  assert.deepEqual(await linesOf('', [1]), [])
  assert.deepEqual(await linesOf('\n', [1]), [[1, '', 1]])
})

test('a line that is too long is only counted, and the next one is read', async () => {
  for (const size of [1, 3, 100]) {
    assert.deepEqual(await linesOf(`1234\n12345\n${'x'.repeat(50)}\n1\n123456`, [size], 4), [
      [1, '1234', 5],
      [2, undefined, 11],
      [3, undefined, 62],
      [4, '1', 64],
      [5, undefined, 70],
    ])
  }
})
