// PGlite behind PostgreSQL's own wire protocol, so that the one driver speaks to both engines: the same
// types, the same errors, and statements that are parsed and planned once per session. Through PGlite's own
// `query` each call parses and plans again, in four crossings into WebAssembly: 2.2 ms of processor
// time for a move of a picture, against 0.8 ms this way.

import { Duplex } from 'node:stream'
import type { PGlite } from '@electric-sql/pglite'

/** A socket as `pg` takes it, connected to the one session of `pglite`. */
export function createPgliteWire(pglite: Pick<PGlite, 'execProtocolRaw'>): Duplex {
  const answer = async (message: Uint8Array, done: (error?: Error) => void) => {
    try {
      wire.push(await pglite.execProtocolRaw(message))
      done()
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
    }
  }
  const wire = new Duplex({
    read: () => {},
    write: (chunk: Uint8Array, _encoding, done) => void answer(chunk, done),
    // The messages of one statement are written together, and answered in one crossing.
    writev: (chunks: { chunk: Buffer }[], done) =>
      void answer(Buffer.concat(chunks.map(({ chunk }) => chunk)), done),
  })
  return Object.assign(wire, {
    connect: () => {
      setImmediate(() => wire.emit('connect'))
      return wire
    },
    setNoDelay: () => wire,
    setKeepAlive: () => wire,
    ref: () => wire,
    unref: () => wire,
  })
}
