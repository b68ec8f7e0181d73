// Runs where a picture child would, and tries what it must not be able to do. Prints what came of it.
// Arguments: a file that anybody may read, a folder that anybody may write to, a loopback port.

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import sharp from 'sharp'

const [file = '', folder = '', port = '0'] = process.argv.slice(2)

const attempts = {
  readFile: () => readFileSync(file),
  writeFile: () => writeFileSync(join(folder, 'javascript'), 'x'),
  writeNatively: () =>
    sharp({ create: { width: 9, height: 9, channels: 3, background: 'red' } }).toFile(
      join(folder, 'native.png'),
    ),
  spawn: () => {
    const { error } = spawnSync('/bin/true')
    if (error) throw error
  },
  thread: () => new Worker('', { eval: true }),
  connect: () =>
    new Promise((resolve, reject) => {
      connect(Number(port), '127.0.0.1').on('connect', resolve).on('error', reject)
    }),
}

/** @type {Record<string, string>} */
const results = {}
for (const [name, attempt] of Object.entries(attempts)) {
  try {
    await attempt()
    results[name] = 'done'
  } catch (error) {
    results[name] = /** @type {{ code?: string }} */ (error).code ?? String(error)
  }
}
const { VIPSHOME: _, ...environment } = process.env // libvips' own
process.stdout.write(
  JSON.stringify({
    results,
    environment: Object.keys(environment),
    compiler: typeof Reflect.get(globalThis, 'WebAssembly'),
    user: process.getuid?.(),
    groups: process.getgroups?.(),
  }),
)
process.exit()
