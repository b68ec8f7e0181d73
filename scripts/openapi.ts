// The OpenAPI document without a running service: the routes are declared, and none is ever called.

import pino from 'pino'
import type { App } from '../src/http/app.ts'
import { createServer } from '../src/http/server.ts'

/** A server whose ports are not there: whatever is asked of them throws. */
export function createUnconnectedServer(): App {
  const absent = new Proxy(
    {},
    {
      get: (_, name) => {
        throw new Error(`${String(name)} is asked of a port of a server that only describes itself`)
      },
    },
  ) as never
  return createServer({
    products: absent,
    images: absent,
    feed: absent,
    snapshots: absent,
    storage: absent,
    health: absent,
    log: pino({ level: 'silent' }),
  })
}

/** `openapi.json` as it is kept in the repository. */
export async function renderOpenapi(): Promise<string> {
  const app = createUnconnectedServer()
  await app.ready()
  return `${JSON.stringify(app.swagger(), null, 2)}\n`
}
