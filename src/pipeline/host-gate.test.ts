import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHostGate } from './host-gate.ts'

const slow = 'http://slow.example/1.jpg'
const { signal } = new AbortController()

test('a host lets in so many, and the next one when one leaves', async () => {
  const gate = createHostGate(2)
  const first = await gate.enter(slow, signal)
  await gate.enter(slow, signal)
  assert.equal(gate.hasRoom(slow), false)
  let third = false
  const entered = gate.enter(slow, signal).then(() => {
    third = true
  })
  await new Promise(setImmediate)
  assert.equal(third, false)
  first[Symbol.dispose]()
  await entered
  assert.equal(gate.hasRoom(slow), false)
})

test('another host is not held up', async () => {
  const gate = createHostGate(1)
  await gate.enter(slow, signal)
  assert.equal(gate.hasRoom('http://quick.example/1.jpg'), true)
  await gate.enter('http://quick.example/1.jpg', signal)
})

test('who gives up waiting leaves no place taken', async () => {
  const gate = createHostGate(1)
  const first = await gate.enter(slow, signal)
  const abort = new AbortController()
  const waiting = gate.enter(slow, abort.signal)
  abort.abort(new Error('stopped'))
  await assert.rejects(waiting, /stopped/)
  first[Symbol.dispose]()
  assert.equal(gate.hasRoom(slow), true)
})
