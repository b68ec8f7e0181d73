import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { reconcile } from './picture-list.ts'

const images = (...urls: string[]) =>
  urls.map((sourceUrl, n) => ({ id: `${sourceUrl}${n}`, sourceUrl }))

test('a URL that stays keeps its image, wherever it goes', () => {
  assert.deepEqual(reconcile(images('a', 'b'), ['b', 'c', 'a']), {
    kept: [
      { id: 'b1', position: 0 },
      { id: 'a0', position: 2 },
    ],
    added: [{ sourceUrl: 'c', position: 1 }],
    dropped: [],
  })
})

test('of equal URLs the first is kept first, and the rest is dropped', () => {
  const changes = reconcile(images('a', 'a', 'a'), ['a', 'a'])
  assert.deepEqual(
    changes.kept.map(({ id }) => id),
    ['a0', 'a1'],
  )
  assert.deepEqual(changes.dropped, ['a2'])
})

test('the new list is complete and in order, and every old image is kept or dropped once', () => {
  const list = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 20 })
  fc.assert(
    fc.property(list, list, (before, after) => {
      const current = images(...before)
      const { kept, added, dropped } = reconcile(current, after)
      const urlOf = new Map(current.map(({ id, sourceUrl }) => [id, sourceUrl]))
      const made = [
        ...kept.map(({ id, position }) => [position, urlOf.get(id)] as const),
        ...added.map(({ sourceUrl, position }) => [position, sourceUrl] as const),
      ].sort(([a], [b]) => a - b)
      assert.deepEqual(
        made.map(([position]) => position),
        after.map((_, n) => n),
      )
      assert.deepEqual(
        made.map(([, url]) => url),
        after,
      )
      assert.deepEqual(
        [...kept.map(({ id }) => id), ...dropped].sort(),
        current.map(({ id }) => id).sort(),
      )
    }),
  )
})
