#!/usr/bin/env node
// Process entry: argv to command, exit code.

import { runCli } from './cli/cli.ts'

process.exitCode = await runCli(process.argv.slice(2))
