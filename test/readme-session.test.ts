// The script that follows the README notices when the README is not true. It is given small pages and
// a small program in place of the real ones.

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import sharp from 'sharp'
import { followReadme } from '../scripts/readme-session.ts'
import { compareOutput, type Learnt, withLearnt } from '../scripts/session-output.ts'
import { readSteps } from '../scripts/session-steps.ts'

const ID = '0199f3c2-7a1b-7c3d-8e4f-0123456789ab'
const OTHER_ID = '01a0c0de-7a1b-7c3d-8e4f-ba9876543210'

/** Answers like the service would: the picture is there two reads after its product was posted. */
const program = `
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
const port = process.env.PORT
const picture = readFileSync('picture.jpg')
let product, reads = 0
const server = createServer(async (request, response) => {
  const path = request.url
  if (request.method === 'POST') {
    const body = Buffer.concat(await Array.fromAsync(request)).toString()
    const { product_images: [url] } = JSON.parse(body)
    product = { id: '${OTHER_ID}', source: url, status: 'queued', url: null, width: null }
    response.end(JSON.stringify(product))
  } else if (path === '/products/${OTHER_ID}') {
    const ready = ++reads > 2
    const url = 'http://localhost:' + port + '/media/a.jpg'
    response.end(JSON.stringify(ready ? { ...product, status: 'ready', url, width: 800 } : product))
  } else if (path === '/media/a.jpg') {
    response.setHeader('content-type', 'image/jpeg').end(picture)
  } else response.writeHead(404).end()
})
server.listen(port, '127.0.0.1', () => console.log('API      http://localhost:' + port + '\\nready in 12 ms'))
process.on('SIGTERM', () => process.exit(Number(process.env.EXIT ?? 0)))
`

const page = [
  '# A page',
  '```sh\nexit 1 # not part of the session\n```',
  '<!-- session -->',
  '```sh\nnpm start\n```',
  '```text\nAPI      http://localhost:8080\nready in … ms\n```',
  '```sh\nnpm run demo-pictures\n```',
  '```text\nserving pictures\n```',
  'Post one:',
  `\`\`\`sh\ncurl -s localhost:8080/products \\\n  -d '{ "product_images": ["http://127.0.0.1/cat.jpg"] }'\n\`\`\``,
  `\`\`\`json\n{ "id": "${ID}", "source": "http://127.0.0.1/cat.jpg", "status": "queued", "url": null, "width": null }\n\`\`\``,
  `\`\`\`sh\ncurl -s localhost:8080/products/${ID}\n\`\`\``,
  `\`\`\`json\n{ "id": "${ID}", "source": "http://127.0.0.1/cat.jpg", "status": "ready",\n  "url": "http://localhost:8080/media/cat.jpg", "width": 640 }\n\`\`\``,
  '```sh\ncurl -sfo cat.jpg http://localhost:8080/media/cat.jpg && test -s cat.jpg\n```',
  '<!-- /session -->',
].join('\n\n')

async function follow({ readme = page, start = 'exec node program.js' } = {}): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), 'vitrine-readme-'))
  try {
    const scripts = { start, 'demo-pictures': 'echo serving pictures; exec sleep 60' }
    const manifest = { name: 'stand-in', private: true, type: 'module', scripts }
    await writeFile(join(directory, 'package.json'), JSON.stringify(manifest))
    await writeFile(join(directory, 'program.js'), program)
    const picture = sharp({ create: { width: 8, height: 6, channels: 3, background: 'red' } })
    await picture.jpeg().toFile(join(directory, 'picture.jpg'))
    await writeFile(join(directory, 'README.md'), readme)
    const reported: string[] = []
    await followReadme({ directory, report: (line) => reported.push(line) })
    return reported
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

test('a session that is true is followed to its end', async () => {
  const reported = await follow()
  assert.deepEqual(
    reported.map((line) => line.replace(/^README.md:\d+ /, '')),
    [
      'npm start',
      'npm run demo-pictures',
      'curl -s localhost:8080/products \\',
      `curl -s localhost:8080/products/${ID}`,
      'curl -sfo cat.jpg http://localhost:8080/media/cat.jpg && test -s cat.jpg',
      'opening the pictures it published',
      'SIGTERM',
    ],
  )
})

test('a page that shows another member is not true', async () => {
  const readme = page.replace('"status": "queued", "url"', '"state": "queued", "url"')
  await assert.rejects(follow({ readme }), /has the members id,source,status,url,width instead/)
})

test('a page that shows another value is not true', async () => {
  const readme = page.replace('"status": "queued"', '"status": "waiting"')
  await assert.rejects(follow({ readme }), /\/status is "queued" instead of "waiting"/)
})

test('a command that fails is not passed over', async () => {
  const readme = page.replace('curl -sfo cat.jpg', 'false && curl -sfo cat.jpg -d x')
  await assert.rejects(follow({ readme }), /ended with 1/)
})

test('a program that ends by itself, or with another code after SIGTERM, fails the session', async () => {
  await assert.rejects(follow({ start: 'exit 3' }), /it ended with 3/)
  await assert.rejects(follow({ start: 'EXIT=4 exec node program.js' }), /ended with 4/)
})

test('a page without a session is refused', () => {
  assert.throws(() => readSteps('```sh\nnpm start\n```'), /no session/)
})

test('an output belongs to the command before it', () => {
  const markdown =
    '<!-- session -->\n```sh\na\n```\n```sh\nb\n```\ntext\n```json\n1\n```\n```text\n2\n```\n<!-- /session -->'
  assert.deepEqual(readSteps(markdown), [
    { command: 'a', shown: undefined, line: 3 },
    { command: 'b', shown: '1', line: 6 },
  ])
})

test('ids, times and URLs may differ and are learnt; other values may not', () => {
  const cases: [shown: unknown, actual: unknown, same: boolean][] = [
    [ID, OTHER_ID, true],
    [ID, 'none', false],
    ['2026-11-20T08:00:00.123456Z', '2027-01-02T03:04:05.000000Z', true],
    ['2026-11-20T08:00:00.123456Z', '2027-01-02T03:04:05Z', false],
    ['https://a.example/1.jpg', 'http://127.0.0.1:1/1.jpg', true],
    ['text', 'texts', false],
    [{ width: 1, bytes: 2 }, { width: 3, bytes: 4 }, true],
    [{ width: 1 }, { width: null }, false],
    [{ price: 1 }, { price: 2 }, false],
    [[1], [1, 1], false],
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, false],
    [null, null, true],
    [null, 0, false],
  ]
  for (const [shown, actual, same] of cases) {
    const difference = compareOutput(JSON.stringify(shown), JSON.stringify(actual), new Map())
    assert.equal(
      difference === undefined,
      same,
      `${JSON.stringify([shown, actual])}: ${difference}`,
    )
  }
  const learnt: Learnt = new Map()
  compareOutput(JSON.stringify({ id: ID }), JSON.stringify({ id: OTHER_ID }), learnt)
  assert.equal(withLearnt(`curl localhost/${ID}`, learnt), `curl localhost/${OTHER_ID}`)
})
