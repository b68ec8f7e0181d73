// A log that nobody reads, slowly or not at all: the process is not held up, neither while it runs nor
// when it ends.

import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { eventually } from '../support/eventually.ts'

const WRITER = fileURLToPath(new URL('../support/log-writer.ts', import.meta.url))
const LINES = 100_001

type Writer = ChildProcessByStdio<Writable, Readable, Readable>

/** One that has written all but its last line, while nobody read any. */
async function startWriter(): Promise<Writer> {
  const writer = spawn(process.execPath, [WRITER], { stdio: ['pipe', 'pipe', 'pipe'] })
  await once(writer.stderr, 'data')
  return writer
}

/** The same on a terminal; resolves to its exit code, whether or not somebody reads. */
async function runOnTerminal(t: TestContext, read: 'read' | 'unread') {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-terminal-'))
  const codeFile = join(folder, 'code')
  const command = `'${process.execPath}' '${WRITER}' </dev/null 2>'${folder}/memory'; echo $? >'${codeFile}'`
  const terminal = spawn('script', ['-qfc', command, '/dev/null'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  t.after(async () => {
    terminal.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  })
  let shown = ''
  const show = (chunk: string) => {
    shown += chunk
  }
  if (read === 'read') terminal.stdout.setEncoding('utf8').on('data', show)
  const code = await eventually(async () => {
    const written = await readFile(codeFile, 'utf8')
    assert.match(written, /\n/)
    return Number(written)
  }, 60_000)
  return { code, shown: () => shown }
}

describe('a log on a terminal', {
  skip: process.platform !== 'linux' && 'script is another',
}, () => {
  test('is for people', async (t) => {
    const { code, shown } = await runOnTerminal(t, 'read')
    assert.equal(code, 0)
    await eventually(() =>
      assert.match(shown().slice(0, 1_000), /INFO\S*: \S*app: x+\S* \S*\{"line":0\}/),
    )
  })

  test('does not keep its process when the terminal has stopped', async (t) => {
    const { code } = await runOnTerminal(t, 'unread')
    assert.equal(code, 0)
  })
})

describe('a log that nobody reads', () => {
  test('loses lines, and says how many when it is read again', async () => {
    const writer = await startWriter()
    const read: string[] = []
    writer.stdout.setEncoding('utf8').on('data', (chunk: string) => read.push(chunk))
    await eventually(() => assert.match(read.join(''), /were dropped/))
    writer.stdin.end()
    await once(writer, 'close')
    const lines = read.join('').trim().split('\n')
    const told = lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 'warn')
    assert.deepEqual(
      told.map(({ area, msg }) => [area, msg]),
      [['app', 'lines of the log were dropped: nobody read them in time']],
    )
    assert.equal(told[0].lines + lines.length - told.length, LINES)
    assert.equal(JSON.parse(lines.at(-1) ?? '').msg, 'the last one')
  })

  test('does not keep its process', async () => {
    const writer = await startWriter()
    const startedAt = performance.now()
    writer.stdin.end()
    const [code] = await once(writer, 'exit')
    assert.equal(code, 0)
    assert.ok(performance.now() - startedAt < 15_000)
    assert.ok((await text(writer.stdout)).length < 1_000_000, 'what the pipe had taken')
  })

  test('does not keep its process when its reader is gone', async () => {
    const writer = await startWriter()
    writer.stdout.destroy()
    writer.stdin.end()
    const [code] = await once(writer, 'exit')
    assert.equal(code, 0)
  })
})
