// A stand-in for a shop's own web server: serves docs/pictures/ on this machine, for the README's session.

import { createReadStream } from 'node:fs'
import { createServer } from 'node:http'
import { pipeline } from 'node:stream/promises'

const HOST = '127.0.0.1'
const PORT = 8099
const folder = new URL('../docs/pictures/', import.meta.url)

const server = createServer(async (request, response) => {
  const [, name] = /^\/([\w-]+\.jpg)$/.exec(request.url ?? '') ?? []
  if (name === undefined) return void response.writeHead(404).end()
  response.setHeader('content-type', 'image/jpeg')
  await pipeline(createReadStream(new URL(name, folder)), response).catch(() => response.destroy())
})
server.once('error', ({ message }) => {
  console.error(`no pictures can be served: ${message}; what listens there has to end first`)
  process.exitCode = 1
})
server.listen(PORT, HOST, () => console.log(`http://${HOST}:${PORT}/lamp.jpg`))
