#!/usr/bin/env node
// Process entry: argv to command, exit code.

import { stopSignal } from './cli/stop-signals.ts'

/** For what was logged last to be written, and for what was closed to be gone. */
const LINGER_MS = 1_000

// Before all else is loaded: the first process of a container is sent no signal that it does not listen to.
const stopping = stopSignal()

// Whoever reads no more (`| head`) has what he wanted, and a process whose messages go nowhere does its work all the
// same. A result for which there is no room is lost.
process.stderr.on('error', () => {})
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE' || process.exitCode === 1) return
  process.stderr.write(`standard output: ${error.message}\n`)
  process.exitCode = 1
})

const { runCli } = await import('./cli/cli.ts')
const code = await runCli(process.argv.slice(2), stopping)
process.exitCode ??= code
// A result is read at the reader's pace. Anything else that is still open by now is a leftover: an engine
// that failed to start, a log that nobody reads.
const linger = () => setTimeout(() => process.exit(), LINGER_MS).unref()
if (process.stdout.writableLength > 0) process.stdout.write('', linger)
else linger()
