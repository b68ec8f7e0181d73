// A process that renders one picture over and over until it is killed, with children in their sandbox
// (`sandboxed`) or without anything around them (`bare`). Arguments: which, and a folder that holds the
// `picture`; one more argument (`idle`): rendering ends after the first. Prints `ready` by then.

import { join } from 'node:path'
import { presets } from '../../src/pipeline/presets.ts'
import { startRenderChild } from '../../src/pipeline/render-child.ts'
import { readRendered } from '../../src/pipeline/render-messages.ts'
import { bareCommand, openTestRenderer, unaborted } from './renderer.ts'

const [kind, folder = '', idle] = process.argv.slice(2)
const path = join(folder, 'picture')
const render = kind === 'bare' ? await renderBare() : await renderSandboxed()

await render()
console.log('ready')
while (idle === undefined) await render()
// Something has to keep an idle process.
setInterval(() => {}, 60_000)

async function renderBare(): Promise<() => Promise<unknown>> {
  const deadline = { timeoutMs: 20_000, signal: unaborted }
  const child = await startRenderChild(bareCommand(1e9), deadline)
  return () =>
    child.request(
      { op: 'render', path, presets, maxPixels: 1e8, previewSide: 48 },
      (frame) => readRendered(frame, presets),
      deadline,
    )
}

async function renderSandboxed(): Promise<() => Promise<unknown>> {
  const { renderer } = await openTestRenderer({ spoolDirectory: folder })
  return () => renderer.render(path, presets, { signal: unaborted })
}
