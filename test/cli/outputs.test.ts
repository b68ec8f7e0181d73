// Outputs that nobody reads, or on a disk that is full: what was asked for is done all the same.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { findFreePort } from '../../src/app/free-port.ts'
import { eventually } from '../support/eventually.ts'
import { makeDataFolder } from '../support/service.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const noFullDisk = process.platform !== 'linux' && 'there is no /dev/full'

type Output = 'pipe' | number

function start(args: string[], [stdout, stderr]: [Output, Output], env = {}): ChildProcess {
  const stdio = ['ignore', stdout, stderr] as const
  return spawn(process.execPath, [MAIN, ...args], {
    stdio: [...stdio],
    env: { PATH: process.env.PATH, ...env },
  })
}

function errorsOf({ stderr }: ChildProcess): Promise<string> {
  assert.ok(stderr)
  return text(stderr)
}

function openFullDisk() {
  const descriptor = openSync('/dev/full', 'w')
  return { descriptor, [Symbol.dispose]: () => closeSync(descriptor) }
}

async function serveAndStop(outputs: [Output, Output]): Promise<void> {
  await using data = await makeDataFolder()
  const port = await findFreePort('127.0.0.1')
  const environment = { HOST: '127.0.0.1', PORT: String(port), DATA_DIR: data.path }
  const child = start(['serve'], outputs, environment)
  child.stdout?.destroy()
  child.stderr?.destroy()
  const exited = once(child, 'exit')
  try {
    const isReady = fetch.bind(undefined, `http://127.0.0.1:${port}/readyz`)
    await eventually(async () => {
      if (child.exitCode === null) assert.equal((await isReady()).status, 200)
    }, 60_000)
    child.kill('SIGTERM')
    assert.deepEqual(await exited, [0, null])
  } finally {
    child.kill('SIGKILL')
  }
}

test('the service runs without a reader of its outputs', async () => {
  await serveAndStop(['pipe', 'pipe'])
})

test('the service runs with its outputs on a full disk', { skip: noFullDisk }, async () => {
  using full = openFullDisk()
  await serveAndStop([full.descriptor, full.descriptor])
})

test('a result that nobody reads any more ends its command quietly', async () => {
  const child = start(['config'], ['pipe', 'pipe'])
  child.stdout?.destroy()
  const [stderr, [code]] = await Promise.all([errorsOf(child), once(child, 'exit')])
  assert.deepEqual([code, stderr], [0, ''])
})

test('a result that finds no room is an error', { skip: noFullDisk }, async () => {
  using full = openFullDisk()
  const child = start(['config'], [full.descriptor, 'pipe'])
  const [stderr, [code]] = await Promise.all([errorsOf(child), once(child, 'exit')])
  assert.equal(code, 1)
  assert.match(stderr, /^standard output: ENOSPC.*\n$/)
})

test('a mistake is an exit code too where nobody reads of it', { skip: noFullDisk }, async () => {
  using full = openFullDisk()
  const [code] = await once(start(['nonsense'], ['pipe', full.descriptor]), 'exit')
  assert.equal(code, 2)
})
