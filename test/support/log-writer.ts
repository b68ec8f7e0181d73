// Logs far more than a pipe and the log's buffer hold, tells its memory on standard error, and when its
// standard input ends logs one line more and exits.

import { once } from 'node:events'
import { createLogger } from '../../src/observability/logger.ts'

const LINES = 100_000
const logOf = await createLogger({ level: 'info', levels: {}, pretty: process.stdout.isTTY })
const log = logOf('app')
const text = 'x'.repeat(200)
for (let line = 0; line < LINES; line++) {
  log.info({ line }, text)
  if (line % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
}
process.stderr.write(`${process.memoryUsage().rss}\n`)
await once(process.stdin.resume(), 'end')
log.info({ line: LINES }, 'the last one')
process.exit()
