// Preloaded into a child process: kills it, as `kill -9` does, right before its KILL_AT-th change of
// anything whose path starts with KILL_UNDER, and tells at its end how many there were. A kill at a
// time could not be aimed: initialising spends seconds in memory and then writes for half a second.

import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const under = process.env.KILL_UNDER ?? '/'
const killAt = Number(process.env.KILL_AT ?? Number.POSITIVE_INFINITY)
const watched = new Set<unknown>()
let changes = 0

function count(what: unknown): void {
  const isOurs = watched.has(what) || (typeof what === 'string' && what.startsWith(under))
  if (!isOurs) return
  changes++
  if (changes !== killAt) return
  process.kill(process.pid, 'SIGKILL')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) // until it has arrived
}

function watch<Name extends string>(owner: Record<Name, unknown>, names: readonly Name[]): void {
  for (const name of names) {
    const real = owner[name] as (...args: unknown[]) => unknown
    owner[name] = (what: unknown, ...rest: unknown[]) => {
      count(what)
      if (name === 'rename') process.stdout.write(`renamed at ${changes}\n`)
      const result = real.call(owner, what, ...rest)
      // Writes name a file by its number.
      if (name === 'openSync' && typeof what === 'string' && what.startsWith(under))
        watched.add(result)
      return result
    }
  }
}

watch(fs, ['mkdirSync', 'openSync', 'writeSync', 'ftruncateSync', 'unlinkSync', 'renameSync'])
watch(fs.promises, ['mkdir', 'rm', 'rename'])
syncBuiltinESMExports()

process.on('exit', () => process.stdout.write(`changes ${changes}\n`))
