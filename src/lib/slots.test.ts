import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createSlots } from './slots.ts'

const never = new AbortController().signal

describe('slots', () => {
  test('there are so many and no more, given out in the order of asking', async () => {
    const slots = createSlots(2)
    const first = await slots.take(never)
    await slots.take(never)
    const order: string[] = []
    const takeAs = async (name: string) => {
      const slot = await slots.take(never)
      order.push(name)
      return slot
    }
    const third = takeAs('third')
    const fourth = takeAs('fourth')
    await new Promise(setImmediate)
    assert.deepEqual(order, [])
    first?.release()
    ;(await third)?.release()
    await fourth
    assert.deepEqual(order, ['third', 'fourth'])
  })

  test('giving a place back twice does not make two of it', async () => {
    const slots = createSlots(1)
    const slot = await slots.take(never)
    slot?.release()
    slot?.release()
    await slots.take(never)
    const stopping = new AbortController()
    const second = slots.take(stopping.signal)
    stopping.abort()
    assert.equal(await second, undefined)
  })

  test('who gave up waiting gets none, and loses none for the others', async () => {
    const slots = createSlots(1)
    const held = await slots.take(never)
    const stopping = new AbortController()
    const impatient = slots.take(stopping.signal)
    const patient = slots.take(never)
    stopping.abort()
    assert.equal(await impatient, undefined)
    assert.equal(await slots.take(stopping.signal), undefined)
    held?.release()
    assert.ok(await patient)
  })
})
