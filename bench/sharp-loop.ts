// The bare loop that the pipeline is compared with: one process that makes the default rendition of
// one file, `count` times, `parallel` at once. Prints the milliseconds and the processor's that took.
// Arguments: file, count, parallel.

import sharp from 'sharp'

const [file = '', count = '1', parallel = '1'] = process.argv.slice(2)

sharp.cache(false)
sharp.concurrency(1)

await render()
const startedAt = performance.now()
const cpuBefore = process.cpuUsage()
let left = Number(count)
await Promise.all(Array.from({ length: Number(parallel) }, loop))
const elapsedMs = performance.now() - startedAt
const { user, system } = process.cpuUsage(cpuBefore)
console.log(JSON.stringify({ elapsedMs, cpuMs: (user + system) / 1000 }))

async function loop(): Promise<void> {
  while (left-- > 0) await render()
}

async function render(): Promise<void> {
  await sharp(file, { autoOrient: true })
    .resize(800, 600, { fit: 'inside', withoutEnlargement: true })
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .jpeg({ quality: 75 })
    .toBuffer()
}
