import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../errors.ts'
import { createHealth } from './health.ts'

const fine = async () => {}
const unavailable = async () => {
  throw new AppError('unavailable', 'The database cannot be reached.')
}
const hanging = () => new Promise<void>(() => {})

test('all dependencies answering is healthy', async () => {
  const { status, checks } = await createHealth({ database: fine, storage: fine }).report()
  assert.equal(status, 'healthy')
  assert.deepEqual(Object.keys(checks), ['database', 'storage'])
  assert.equal(checks.database?.status, 'healthy')
  assert.equal(typeof checks.database?.latency_ms, 'number')
})

test('without the database the service is unhealthy, without another one degraded', async () => {
  assert.equal((await createHealth({ database: unavailable }).report()).status, 'unhealthy')
  const { status, checks } = await createHealth({ database: fine, queue: unavailable }).report()
  assert.equal(status, 'degraded')
  assert.equal(checks.queue?.error, 'The database cannot be reached.')
})

test('what is silent and not needed by requests is given up before a probe of a second is', async () => {
  const report = createHealth({ database: fine, queue: hanging }).report()
  const late = new Promise((_, reject) => setTimeout(reject, 1_000, new Error('too late')).unref())
  const { status, checks } = await Promise.race([report, late as Promise<never>])
  assert.equal(status, 'degraded')
  assert.match(checks.queue?.error ?? '', /No answer within 800 ms/)
})

test('while it stops nothing is looked at', async () => {
  const health = createHealth({ database: hanging })
  health.setStopping()
  assert.deepEqual(await health.report(), { status: 'stopping', checks: {} })
})

test('what a driver says is not shown', async () => {
  const health = createHealth({
    database: () => Promise.reject(new Error('password of admin@10.0.0.3 is wrong')),
  })
  assert.equal((await health.check('database'))?.error, 'The check failed.')
})

test('a check that hangs fails at its deadline and does not hold up the next one', async () => {
  let calls = 0
  const check = () => (++calls === 1 ? hanging() : fine())
  const health = createHealth({ database: check }, { timeoutMs: 20, maxAgeMs: 0 })
  assert.match((await health.check('database'))?.error ?? '', /No answer within 20 ms/)
  assert.equal((await health.check('database'))?.status, 'healthy')
})

test('a hundred probes at once ask the dependency once, later ones after a while again', async () => {
  let calls = 0
  const count = async () => {
    calls++
  }
  const health = createHealth({ database: count }, { maxAgeMs: 50 })
  await Promise.all(Array.from({ length: 100 }, () => health.report()))
  assert.equal(calls, 1)
  const deadline = Date.now() + 5_000
  while (calls === 1 && Date.now() < deadline) await health.report()
  assert.equal(calls, 2)
})

test('a dependency of another name is none', async () => {
  const health = createHealth({ database: fine })
  assert.equal(await health.check('cache'), undefined)
  assert.equal(await health.check('__proto__'), undefined)
})
