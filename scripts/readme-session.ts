// Follows the README's session as a newcomer would, in the folder it is given: types its commands and
// compares what comes back with what the page shows.
// By hand: node scripts/readme-session.ts <folder with a fresh copy>

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { findFreePort } from '../src/app/free-port.ts'
import { type Running, type RunOptions, run, start, until } from './processes.ts'
import { compareOutput, type Learnt, withLearnt } from './session-output.ts'
import { readSteps, type SessionStep } from './session-steps.ts'

/** The page shows this port; the session takes a free one. */
const SHOWN_HOST = 'localhost:8080'
/** What a reader gives a terminal of its own. */
const STAYS = /\bnpm (?:start|run demo-\S+)/
/** `npm ci` is part of it. */
const START_TIMEOUT_MS = 600_000
/** How often a reader would repeat a read until the picture is there. */
const READ_TIMEOUT_MS = 20_000
const STOP_TIMEOUT_MS = 30_000

export interface SessionOptions {
  directory: string
  signal?: AbortSignal
  report: (line: string) => void
}

/** Throws at the first step whose outcome is not what the page shows. */
export async function followReadme({ directory, signal, report }: SessionOptions): Promise<void> {
  const steps = readSteps(await readFile(join(directory, 'README.md'), 'utf8'))
  const port = await findFreePort('127.0.0.1')
  const learnt: Learnt = new Map([[SHOWN_HOST, `localhost:${port}`]])
  const options = { cwd: directory, env: { PORT: String(port) }, ...(signal ? { signal } : {}) }
  await using stack = new AsyncDisposableStack()
  let service: Program | undefined

  for (const step of steps) {
    report(`README.md:${step.line} ${step.command.split('\n')[0]}`)
    const command = withLearnt(step.command, learnt)
    if (STAYS.test(command)) {
      const program = stack.use(startProgram(command, options))
      if (command.includes('npm start')) service = program
      await expectLines(program, step, learnt)
    } else await expectOutput(() => run('sh', ['-ec', command], options), step, { learnt, signal })
  }
  if (!service) throw new Error('the session never starts the program')
  report('opening the pictures it published')
  await expectPictures([...learnt.values()], `http://localhost:${port}/media/`)
  report('SIGTERM')
  await expectCleanEnd(service)
}

interface Program extends Running {
  /** What it printed so far, on either stream. */
  lines: string[]
}

function startProgram(command: string, options: RunOptions): Program {
  const lines: string[] = []
  // exec: so that the signal meets npm itself, as it would under a supervisor.
  const args = ['-ec', command.replace(STAYS, 'exec $&')]
  const running = start('sh', args, { ...options, onLine: (line) => lines.push(line) })
  return { ...running, lines }
}

/** The shown lines are there, in their order, among whatever else was printed. */
async function expectLines(program: Program, step: SessionStep, learnt: Learnt): Promise<void> {
  const { shown = '', line } = step
  const { lines } = program
  const count = shown.trim().split('\n').length
  const ended = new AbortController()
  void program.ended.then((code) => {
    lines.push(`(it ended with ${code})`)
    ended.abort()
  })
  const check = () => {
    const parts = lines.map((_, at) => lines.slice(at, at + count).join('\n'))
    if (parts.some((part) => compareOutput(shown, part, learnt) === undefined)) return
    throw new Error(`README.md:${line} shows\n${shown}\nbut what came is\n${lines.join('\n')}`)
  }
  await until(check, { timeoutMs: START_TIMEOUT_MS, signal: ended.signal })
}

async function expectOutput(
  output: () => Promise<string>,
  step: SessionStep,
  { learnt, signal }: { learnt: Learnt; signal: AbortSignal | undefined },
): Promise<void> {
  const { shown, command, line } = step
  const check = async () => {
    const actual = await output()
    if (shown === undefined) return
    const difference = compareOutput(shown, actual, learnt)
    if (difference) throw new Error(`README.md:${line} ${command}\n${difference}\nin ${actual}`)
  }
  const isRead = !/\s(-d|-X|-T|-F|--data\S*|--json|--request)\b/.test(command)
  await until(check, { timeoutMs: isRead ? READ_TIMEOUT_MS : 0, signal })
}

async function expectPictures(values: readonly string[], below: string): Promise<void> {
  const urls = values.filter((value) => value.startsWith(below))
  if (urls.length === 0) throw new Error('the session shows no published picture')
  for (const url of urls) {
    const response = await fetch(url)
    const type = response.headers.get('content-type')
    const { format } = await sharp(await response.bytes()).metadata()
    if (response.status !== 200 || type !== `image/${format}`)
      throw new Error(`${url} answered ${response.status} ${type} with a picture in ${format}`)
  }
}

async function expectCleanEnd(program: Running): Promise<void> {
  program.terminate()
  const timeout = new Promise<string>((resolve) => {
    setTimeout(resolve, STOP_TIMEOUT_MS, `was still running after ${STOP_TIMEOUT_MS} ms`).unref()
  })
  const ended = await Promise.race([program.ended.then((code) => `ended with ${code}`), timeout])
  if (ended !== 'ended with 0') throw new Error(`after SIGTERM the program ${ended}`)
}

if (import.meta.main) {
  const [directory] = process.argv.slice(2)
  if (directory === undefined) throw new Error('usage: node scripts/readme-session.ts <folder>')
  await followReadme({ directory, report: console.log })
}
