// The bare server that a read from Redis is compared with: node:http, one GET of Redis for each request,
// through the client that the service uses, set up as there. Arguments: a JSON file `{ "headers": [name, value, …], "redis": URL }`;
// the value of a path lies under the path itself.

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createClient, RESP_TYPES } from 'redis'

const [file = ''] = process.argv.slice(2)
const { headers, redis } = JSON.parse(readFileSync(file, 'utf8'))
const client = createClient({
  url: redis,
  commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer }, timeout: 0 },
})
await client.connect()

createServer(async (request, response) => {
  const body = (await client.get(request.url ?? '')) as Buffer | null
  if (!body) return void response.writeHead(404, { 'content-length': 0 }).end()
  response.writeHead(200, [...headers, 'Content-Length', String(body.length)])
  response.end(body)
}).listen(Number(process.env.PORT), '127.0.0.1')
