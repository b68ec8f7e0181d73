import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toRoutePath } from './route-path.ts'

const targets: [target: string, path: string][] = [
  ['/products', '/products'],
  ['/api/v1/products', '/products'],
  ['/api/v1/products?limit=1', '/products?limit=1'],
  ['/api/v1', '/'],
  ['/api/v1/', '/'],
  ['/api/v1?x', '/?x'],
  ['/api/v10/products', '/api/v10/products'],
  ['/api/v1/api/v1/products', '/api/v1/products'],
  ['/products/api/v1/x', '/products/api/v1/x'],
  ['http://example.com/api/v1/products?x=1', '/products?x=1'],
  ['https://user:secret@example.com:8080/products', '/products'],
  ['http://example.com', '/'],
  ['http://example.com?x', '/?x'],
  ['*', '*'],
]
for (const [target, path] of targets) {
  test(`${target} is routed as ${path}`, () => {
    assert.equal(toRoutePath(target), path)
  })
}
