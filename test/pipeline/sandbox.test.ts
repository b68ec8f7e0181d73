// What the sandbox holds on this host, tried from inside, and what is left where a host allows less.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { AppError } from '../../src/errors.ts'
import type { ChildCommand } from '../../src/pipeline/render-child.ts'
import { findSandbox, protections, unprivilegedId } from '../../src/pipeline/sandbox.ts'
import { eventually } from '../support/eventually.ts'
import { cornersPicture } from '../support/pictures.ts'
import { makeFolder, openTestRenderer, unaborted } from '../support/renderer.ts'

const run = promisify(execFile)
const bounds = { memoryBytes: 768 * 1024 * 1024, cpuSeconds: 1_000 }
const isRoot = process.getuid?.() === 0

interface Findings {
  results: Record<string, string>
  environment: string[]
  /** What `typeof WebAssembly` is: without it nothing compiles to machine code. */
  compiler: string
  user: number
  groups: number[]
}

const program = (args: string[]) => {
  const script = fileURLToPath(new URL('../support/nosy-child.js', import.meta.url))
  const packages = fileURLToPath(new URL('../../node_modules', import.meta.url))
  return { script, args, readable: [script, packages] }
}

async function output({ file, args, environment }: ChildCommand): Promise<string> {
  const { stdout } = await run(file, [...args], { env: environment, cwd: '/' })
  return stdout
}

test('a child has no network, no environment, no files to write, no processes', async (t) => {
  const folder = await makeFolder()
  await chmod(folder, 0o777)
  const readable = join(folder, 'readable')
  await writeFile(readable, 'anybody may read this')
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    const { sandbox, result } = await findSandbox({
      program: program([readable, folder, String(port)]),
      bounds,
      attempt: output,
      signal: unaborted,
    })
    t.diagnostic(`holds: ${sandbox.holds.join(', ')}; missing: ${sandbox.missing.join(', ')}`)
    const { results, environment, user, groups, compiler }: Findings = JSON.parse(result)
    const { connect, writeNatively, ...javascript } = results
    assert.deepEqual(javascript, {
      readFile: 'ERR_ACCESS_DENIED',
      writeFile: 'ERR_ACCESS_DENIED',
      spawn: 'ERR_ACCESS_DENIED',
      thread: 'ERR_ACCESS_DENIED',
    })
    assert.equal(compiler, 'undefined')
    assert.deepEqual(environment.sort(), ['MALLOC_ARENA_MAX', 'UV_THREADPOOL_SIZE'])
    if (sandbox.holds.includes('no network')) assert.equal(connect, 'ENETUNREACH')
    if (sandbox.holds.includes('separate user')) {
      assert.deepEqual({ user, groups }, { user: unprivilegedId, groups: [unprivilegedId] })
    }
    if (sandbox.holds.includes('memory limit')) {
      assert.notEqual(writeNatively, 'done')
      await holdsNothing(folder)
    }
  } finally {
    server.close()
    await rm(folder, { recursive: true })
  }
})

/** What a limit on the size of files leaves: none, or an empty one. */
async function holdsNothing(folder: string): Promise<void> {
  assert.ok(!(await readdir(folder)).includes('javascript'))
  const { size } = await stat(join(folder, 'native.png')).catch(() => ({ size: 0 }))
  assert.equal(size, 0)
}

describe('where a wrapper does not work', () => {
  const noArgs = program([])

  test('together with the child, the chain is taken without it, and the log can say why', async () => {
    const attempt = async ({ args, file }: ChildCommand) => {
      if ([file, ...args].some((word) => word.endsWith('/nice'))) throw new Error('no nice here')
    }
    const { sandbox } = await findSandbox({ program: noArgs, bounds, attempt, signal: unaborted })
    const { sandbox: full } = await findSandbox({
      program: noArgs,
      bounds,
      attempt: async () => {},
      signal: unaborted,
    })
    assert.deepEqual(
      sandbox.holds,
      full.holds.filter((protection) => protection !== 'low priority'),
    )
    assert.ok(sandbox.missing.includes('low priority'))
    if (full.holds.includes('low priority')) assert.equal(sandbox.reason, 'Error: no nice here')
  })

  test('none is used, and all that is missing is named', async () => {
    const attempt = async ({ file }: ChildCommand) => {
      if (file !== process.execPath) throw new Error(`no ${file} here`)
    }
    const { sandbox } = await findSandbox({ program: noArgs, bounds, attempt, signal: unaborted })
    assert.equal(sandbox.command.file, process.execPath)
    assert.ok(sandbox.command.args.includes('--permission'))
    assert.deepEqual(sandbox.holds, [])
    assert.deepEqual(sandbox.missing, protections)
  })

  test('for want of root, a child of our own user is not said to be a separate one', async (t) => {
    t.mock.method(process as { getuid(): number }, 'getuid', () => 1_000)
    const attempt = async () => {}
    const { sandbox } = await findSandbox({ program: noArgs, bounds, attempt, signal: unaborted })
    assert.ok(!sandbox.command.args.some((word) => word.startsWith('--reuid')))
    assert.ok(sandbox.missing.includes('separate user'))
    assert.ok(!sandbox.holds.includes('separate user'))
  })

  test('nor the bare child, the first error is the answer', async () => {
    let tried = 0
    const attempt = async () => {
      throw new Error(`attempt ${++tried}`)
    }
    const search = findSandbox({ program: noArgs, bounds, attempt, signal: unaborted })
    await assert.rejects(search, /attempt 1$/)
  })
})

describe('what passes does not weaken the sandbox', () => {
  const find = (attempt: (command: ChildCommand) => Promise<void>) =>
    findSandbox({ program: program([]), bounds, attempt, signal: unaborted })

  test('a first child that dies is started once more by the same command', async () => {
    const tried: ChildCommand[] = []
    const { sandbox } = await find(async (command) => {
      if (tried.push(command) === 1) throw new AppError('render_crashed', 'killed')
    })
    const { sandbox: full } = await find(async () => {})
    assert.deepEqual(tried, [full.command, full.command])
    assert.deepEqual(sandbox, full)
  })

  test('a child that takes too long ends the search, whenever it comes', async () => {
    for (const slow of [1, 2, 3]) {
      let tried = 0
      const search = find(async () => {
        const code = ++tried === slow ? 'render_timeout' : 'render_crashed'
        throw new AppError(code, 'no child came of it')
      })
      await assert.rejects(search, { code: 'render_timeout' })
      assert.equal(tried, slow)
    }
  })
})

describe('the spool', () => {
  test('is ours to write, and readable to the children only', async () => {
    const folder = await makeFolder()
    const spoolDirectory = join(folder, 'deep', 'spool')
    try {
      await using children = await openTestRenderer({ spoolDirectory })
      const { mode, gid } = await stat(spoolDirectory)
      assert.equal(mode & 0o7777, isRoot ? 0o2750 : 0o700)
      if (isRoot) assert.equal(gid, unprivilegedId)
      await children.process(await cornersPicture().png().toBuffer())
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  test('may be named from where the process stands', async () => {
    const folder = await makeFolder()
    try {
      const spoolDirectory = relative(process.cwd(), join(folder, 'spool'))
      await using children = await openTestRenderer({ spoolDirectory })
      await children.process(await cornersPicture().png().toBuffer())
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  test('below a folder that is closed to others: the child stays the same user, the log says so', async (t) => {
    if (!isRoot) return t.skip('who is not root has children of its own user anyway')
    const closed = await mkdtemp(join(tmpdir(), 'vitrine-closed-'))
    await mkdir(join(closed, 'spool'))
    try {
      await using children = await openTestRenderer({ spoolDirectory: join(closed, 'spool') })
      await children.process(await cornersPicture().png().toBuffer())
      await eventually(() => assert.ok(children.logs[0]))
      assert.deepEqual(children.logs[0]?.missing, ['separate user'])
      assert.match(children.logs[0]?.msg ?? '', /without: separate user/)
    } finally {
      await rm(closed, { recursive: true })
    }
  })
})

test('the log says in one line what the sandbox holds', async () => {
  await using children = await openTestRenderer()
  const [line] = await eventually(() => {
    assert.equal(children.logs.length, 1)
    return children.logs
  })
  assert.match(line?.msg ?? '', /^pictures are decoded in a sandbox/)
})
