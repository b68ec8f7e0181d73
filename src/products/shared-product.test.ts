import assert from 'node:assert/strict'
import { test } from 'node:test'
import { packProduct, unpackProduct } from './shared-product.ts'

const id = '0199f3c2-0000-7000-8000-000000000001'
const product = {
  id,
  version: 7,
  etag: '"3-7-xQOluk-mwqlm4s0"',
  body: JSON.stringify({ id, product_name: 'é\n', version: 7 }),
  isSettled: true,
  goodUntil: undefined,
}
const entryOf = (changes: Partial<Record<keyof typeof product, unknown>>, version = 7) => ({
  version,
  bytes: packProduct({ ...product, ...changes } as typeof product),
})

test('a product comes back as it was, and is good until the cache says', () => {
  assert.deepEqual(unpackProduct(id, entryOf({})), product)
  const ending = unpackProduct(id, { ...entryOf({}), goodUntil: 5 })
  assert.deepEqual(ending, { ...product, goodUntil: 5 })
})

const other = id.replace(/1$/, '2')
const foreign: [string, { version: number; bytes: Buffer }][] = [
  ['nothing', { version: 7, bytes: Buffer.alloc(0) }],
  ['no JSON', { version: 7, bytes: Buffer.from('x\n{}') }],
  ['JSON of another kind', { version: 7, bytes: Buffer.from('null\n{}') }],
  ['no tag', entryOf({ etag: undefined })],
  ['a tag that breaks its line', entryOf({ etag: '"3-7-x"\r\nx: y' })],
  ['a tag that no header takes', entryOf({ etag: '"3-7-é"' })],
  ['a tag of another version', entryOf({ etag: '"3-8-xQOluk"' })],
  ['another version', entryOf({}, 8)],
  ['a state that is none', entryOf({ isSettled: 'yes' })],
  ['another product', entryOf({ body: JSON.stringify({ id: other }) })],
  ['a body that is none', entryOf({ body: '{"forged":1}' })],
]
for (const [what, entry] of foreign) {
  test(`${what} is not the product`, () => assert.equal(unpackProduct(id, entry), undefined))
}
