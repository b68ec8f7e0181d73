// The children as processes: killed, stopped, out of memory, orphaned. Each costs its own request only.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { AppError } from '../../src/errors.ts'
import { presets } from '../../src/pipeline/presets.ts'
import { type ChildCommand, startRenderChild } from '../../src/pipeline/render-child.ts'
import { readHeader } from '../../src/pipeline/render-messages.ts'
import { eventually } from '../support/eventually.ts'
import * as pictures from '../support/pictures.ts'
import {
  bareCommand,
  childrenOf,
  isAlive,
  makeFolder,
  openTestRenderer,
  type TestRenderer,
  unaborted,
} from '../support/renderer.ts'

const small = await pictures.cornersPicture().png().toBuffer()
const deadline = { timeoutMs: 10_000, signal: unaborted }

function fails(work: Promise<unknown>, code: string): Promise<void> {
  return assert.rejects(work, (error: AppError) => {
    assert.equal(error.code, code, String(error))
    return true
  })
}

/** Starts as many children as the pool may have; gives their ids. */
async function startAll(children: TestRenderer, processes: number): Promise<number[]> {
  await eventually(async () => {
    await Promise.all(Array.from({ length: processes * 2 }, () => children.process(small)))
    assert.equal((await childrenOf(process.pid)).length, processes)
  })
  return childrenOf(process.pid)
}

describe('a child that ends costs its own request only', { skip: noProcfs() }, () => {
  test('killed in mid-render: render_crashed, the other one finishes, the place is filled', async () => {
    await using children = await openTestRenderer({ processes: 2 })
    const [first = 0, second = 0] = await startAll(children, 2)
    process.kill(first, 'SIGSTOP')
    process.kill(second, 'SIGSTOP')
    const path = await children.place(small)
    const renders = [1, 2].map(() => children.renderer.render(path, presets, { signal: unaborted }))
    const settled = Promise.allSettled(renders)
    process.kill(first, 'SIGKILL')
    await eventually(async () => assert.equal(await isAlive(first), false))
    process.kill(second, 'SIGCONT')
    const results = await settled
    const failed = results.filter((result) => result.status === 'rejected')
    assert.deepEqual(
      failed.map(({ reason }) => reason.code),
      ['render_crashed'],
    )
    const pids = await startAll(children, 2)
    assert.ok(pids.includes(second) && !pids.includes(first))
  })

  for (const signal of ['SIGSEGV', 'SIGABRT', 'SIGTERM'] as const) {
    test(`${signal}: render_crashed, and the next picture is rendered`, async () => {
      await using children = await openTestRenderer()
      const [pid = 0] = await startAll(children, 1)
      process.kill(pid, 'SIGSTOP')
      const render = children.renderer.render(await children.place(small), presets, {
        signal: unaborted,
      })
      const failed = fails(render, 'render_crashed')
      process.kill(pid, signal)
      process.kill(pid, 'SIGCONT')
      await failed
      await children.process(small)
    })
  }

  test('killed while it is idle: nobody notices', async () => {
    await using children = await openTestRenderer()
    const [pid = 0] = await startAll(children, 1)
    process.kill(pid, 'SIGKILL')
    await eventually(() => assert.match(children.logs.at(-1)?.msg ?? '', /SIGKILL/))
    await children.process(small)
  })

  test('stopped: render_timeout at the deadline, and the next picture is rendered', async () => {
    await using children = await openTestRenderer({ timeoutMs: 3_000 })
    const [pid = 0] = await startAll(children, 1)
    process.kill(pid, 'SIGSTOP')
    const path = await children.place(small)
    await fails(children.renderer.render(path, presets, { signal: unaborted }), 'render_timeout')
    assert.equal(await isAlive(pid), false)
    await children.process(small)
  })

  test('grown over its limit, where the host sets none: render_out_of_memory', async () => {
    await using child = await startRenderChild(bareCommand(200e6), deadline)
    await using files = await openTestRenderer()
    const path = await files.place(
      pictures.craftedPng(
        { width: 8_000_000, height: 2, depth: 8, interlaced: false },
        Buffer.alloc((8_000_000 * 4 + 1) * 2),
      ),
    )
    const request = { op: 'render', path, presets, maxPixels: 1e8, previewSide: 48 } as const
    await fails(
      child.request(request, () => undefined, deadline),
      'render_out_of_memory',
    )
    const { signal } = await child.ended
    assert.equal(signal, 'SIGUSR2')
  })
})

describe('an abort', { skip: noProcfs() }, () => {
  test('in mid-render ends the child and rejects with its reason', async () => {
    await using children = await openTestRenderer()
    const [pid = 0] = await startAll(children, 1)
    process.kill(pid, 'SIGSTOP')
    const stop = new AbortController()
    const render = children.renderer.render(await children.place(small), presets, {
      signal: stop.signal,
    })
    // By then the child has been asked.
    await nextTurn()
    const reason = new Error('no longer wanted')
    stop.abort(reason)
    await assert.rejects(render, (error) => error === reason)
    assert.equal(await isAlive(pid), false)
    await children.process(small)
  })

  test('while waiting for a child rejects at once and leaves the others their order', async () => {
    await using children = await openTestRenderer()
    const [pid = 0] = await startAll(children, 1)
    const path = await children.place(small)
    process.kill(pid, 'SIGSTOP')
    const order: string[] = []
    const render = (name: string, signal: AbortSignal) =>
      children.renderer.render(path, presets, { signal }).then(() => order.push(name))
    const stop = new AbortController()
    const first = render('first', unaborted)
    const leaving = render('leaving', stop.signal)
    const rest = ['second', 'third', 'fourth'].map((name) => render(name, unaborted))
    const reason = new Error('no longer wanted')
    stop.abort(reason)
    await assert.rejects(leaving, (error) => error === reason)
    process.kill(pid, 'SIGCONT')
    await Promise.all([first, ...rest])
    assert.deepEqual(order, ['first', 'second', 'third', 'fourth'])
  })
})

describe('closing', { skip: noProcfs() }, () => {
  test('ends all children, the work in them and the wait for them', async () => {
    const children = await openTestRenderer()
    const [pid = 0] = await startAll(children, 1)
    process.kill(pid, 'SIGSTOP')
    const path = await children.place(small)
    const render = () => children.renderer.render(path, presets, { signal: unaborted })
    const rejected = [render(), render()].map((work) => assert.rejects(work, /closed/))
    await children[Symbol.asyncDispose]()
    await Promise.all(rejected)
    assert.equal(await isAlive(pid), false)
    await assert.rejects(render(), /closed/)
  })

  test('while the first child is still being started leaves nothing behind', async () => {
    const children = await openTestRenderer()
    await children[Symbol.asyncDispose]()
    assert.deepEqual(await childrenOf(process.pid), [])
    assert.deepEqual(children.logs, [])
  })
})

describe('children die with their parent', { skip: noProcfs() }, () => {
  // Progressive: all of it is decoded in one piece of native code.
  const makePicture = () =>
    pictures.wide({ width: 4_000, height: 4_000 }).jpeg({ progressive: true }).toBuffer()

  for (const kind of ['sandboxed', 'bare']) {
    for (const state of ['busy', 'idle']) {
      test(`killed with -9, ${kind} and ${state}`, async () => {
        const folder = await makeFolder()
        await writeFile(join(folder, 'picture'), await makePicture())
        const parent = startParent([kind, folder, ...(state === 'idle' ? ['idle'] : [])])
        try {
          const pids = await readyChildren(parent)
          assert.equal(pids.length, 1)
          parent.kill('SIGKILL')
          await once(parent, 'exit')
          await eventually(async () => {
            assert.deepEqual(await Promise.all(pids.map(isAlive)), [false])
          }, 15_000)
        } finally {
          parent.kill('SIGKILL')
          await rm(folder, { recursive: true })
        }
      })
    }
  }

  function startParent(args: string[]): ChildProcess {
    const script = fileURLToPath(new URL('../support/rendering-process.ts', import.meta.url))
    return spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  }

  async function readyChildren(parent: ChildProcess): Promise<number[]> {
    assert.ok(parent.stdout && parent.pid)
    const [said] = await once(parent.stdout, 'data')
    assert.equal(String(said), 'ready\n')
    return childrenOf(parent.pid)
  }
})

describe('a child that does not keep to the protocol is killed', () => {
  const frame = (message: string, body = '') => {
    const lengths = `Buffer.from([0,0,0,${message.length},0,0,0,${body.length}])`
    return `process.stdout.write(Buffer.concat([${lengths}, Buffer.from('${message}${body}')]));`
  }
  const ready = frame('{"ready":true}')
  const stay = 'setInterval(() => {}, 1000);'
  const onRequest = (script: string) => `process.stdin.once('data', () => { ${script} });`

  const command = (script: string): ChildCommand => {
    return { file: process.execPath, args: ['-e', script], environment: {} }
  }
  const ask = async (script: string) => {
    await using child = await startRenderChild(command(script), deadline)
    await child.request({ op: 'inspect', path: '/none' }, readHeader, deadline)
  }

  test('for noise', async () => {
    await fails(ask(`process.stdout.write('Segmentation fault'); ${stay}`), 'render_crashed')
    await fails(
      ask(`${ready}${onRequest("process.stdout.write('noise'.repeat(9))")}${stay}`),
      'render_crashed',
    )
  })

  test('for a frame of four gigabytes', async () => {
    const huge = 'process.stdout.write(Buffer.from([0,0,0,2,255,255,255,255]));'
    await fails(ask(`${ready}${onRequest(huge)}${stay}`), 'render_crashed')
  })

  test('for an answer of another shape', async () => {
    await fails(ask(`${ready}${onRequest(frame('{"width":"1"}'))}${stay}`), 'render_crashed')
    await fails(ask(`${ready}${onRequest(frame('null'))}${stay}`), 'render_crashed')
  })

  test('for an answer to no question', async () => {
    await using child = await startRenderChild(command(`${ready}${ready}${stay}`), deadline)
    const { killedFor } = await child.ended
    assert.equal(killedFor, 'violation')
  })

  test('for silence', async () => {
    const soon = { timeoutMs: 300, signal: unaborted }
    await fails(startRenderChild(command(stay), soon), 'render_timeout')
  })

  test('for ending; what it wrote to stderr is kept', async () => {
    const script = `${ready}${onRequest("console.error('it hurts'); process.exitCode = 3; process.stdin.destroy()")}`
    await assert.rejects(ask(script), (error: AppError) => {
      assert.equal(error.code, 'render_crashed')
      assert.match(String(error.cause), /exit code 3: it hurts/)
      return true
    })
  })

  test('for ending while a process of its own holds its pipes', async () => {
    const orphan: ChildCommand = {
      file: '/bin/sh',
      args: ['-c', 'sleep 30 & exit 1'],
      environment: {},
    }
    const begun = performance.now()
    await fails(startRenderChild(orphan, deadline), 'render_crashed')
    assert.ok(performance.now() - begun < 15_000)
  })

  test('for memory that glib could not get', async () => {
    const script = `${ready}${onRequest("console.error('GLib-ERROR: failed to allocate 9 bytes'); process.exitCode = 1; process.stdin.destroy()")}`
    await fails(ask(script), 'render_out_of_memory')
  })

  test('for not being there', async () => {
    const nothing: ChildCommand = { file: '/no/such/file', args: [], environment: {} }
    await fails(startRenderChild(nothing, deadline), 'render_crashed')
  })
})

function noProcfs(): string | false {
  return process.platform === 'linux' ? false : 'processes are looked at through /proc'
}
