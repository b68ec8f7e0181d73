#!/usr/bin/env node
// Process entry: argv to command, exit code.

import { runCli } from './cli/cli.ts'

/** For what was logged last to be written, and for what was closed to be gone. */
const LINGER_MS = 1_000

process.exitCode = await runCli(process.argv.slice(2))
// A result is read at the reader's pace. Anything else that is still open by now is a leftover: an engine
// that failed to start, a log that nobody reads.
const linger = () => setTimeout(() => process.exit(), LINGER_MS).unref()
if (process.stdout.writableLength > 0) process.stdout.write('', linger)
else linger()
