import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHostGate } from './host-gate.ts'

const slow = 'http://slow.example/1.jpg'

test('a host lets in so many, and the next one when one has left', () => {
  const gate = createHostGate(2)
  const first = gate.enter(slow)
  assert.ok(first && gate.enter('http://slow.example/2.jpg'))
  assert.equal(gate.enter(slow), undefined)
  first[Symbol.dispose]()
  assert.ok(gate.enter(slow))
  assert.equal(gate.enter(slow), undefined)
})

test('another host, or another port of it, is not held up', () => {
  const gate = createHostGate(1)
  assert.ok(gate.enter(slow))
  assert.ok(gate.enter('http://quick.example/1.jpg'))
  assert.ok(gate.enter('http://slow.example:8080/1.jpg'))
})

test('what is no URL has a gate of its own', () => {
  const gate = createHostGate(1)
  assert.ok(gate.enter('not a url'))
  assert.equal(gate.enter('neither'), undefined)
})
