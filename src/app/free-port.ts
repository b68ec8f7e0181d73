// A port for `PORT=0`. The public address of files is part of every answer, so the port must be known
// before the server is built; between here and its listening somebody else could take it.

import { once } from 'node:events'
import { createServer } from 'node:net'

export async function findFreePort(host: string): Promise<number> {
  const probe = createServer().listen(0, host)
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  if (address === null || typeof address === 'string') throw new Error('no free port was found')
  return address.port
}
