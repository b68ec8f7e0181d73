// A listener as a process of its own, for what only processes can show: it prints the id of every bell that it
// hears, and ends with its standard input.

import pino from 'pino'
import { openQueue } from '../../src/queue/open.ts'
import { serverAt } from './kafka.ts'

const [address = '', topic = ''] = process.argv.slice(2)
const stopping = new AbortController()
process.stdin.on('end', () => stopping.abort()).resume()

await using queue = await openQueue({
  kind: 'kafka',
  server: serverAt(address),
  topology: { topic, group: topic, partitions: 1 },
  log: pino({ level: 'warn' }, pino.destination(2)),
})
await queue.listen(
  async (id) => {
    // Long enough for many to be under way whenever it is killed.
    await new Promise((resolve) => setTimeout(resolve, 50))
    process.stdout.write(`${id}\n`)
    return 'heard'
  },
  { concurrency: 32, signal: stopping.signal },
)
