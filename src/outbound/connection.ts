// One HTTP connection to one origin, opened by its first request.

import { Client, type Dispatcher } from 'undici'

export interface Connection {
  /** True when it has carried an answer: its other end may have closed it just now. */
  readonly isUsed: boolean
  /** False before the first request, and once either end has closed it. */
  readonly isOpen: boolean
  /** One request at a time. */
  request(options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData>
  /** Ends what it carries; resolves once it is closed. Never rejects. */
  close(): Promise<void>
}

export function createConnection(
  origin: string,
  { onClosed, ...options }: Client.Options & { onClosed(connection: Connection): void },
): Connection {
  const client = new Client(origin, options)
  const dispatcher = client.compose(unpausedAtTheEnd)
  let isOpen = false
  let isUsed = false
  const connection: Connection = {
    get isOpen() {
      return isOpen
    },
    get isUsed() {
      return isUsed
    },
    request: async (options) => {
      const answer = await dispatcher.request(options)
      isUsed = true
      return answer
    },
    close: () => client.destroy(),
  }
  client.on('connect', () => {
    isOpen = true
    isUsed = false
  })
  client.on('disconnect', () => {
    isOpen = false
    onClosed(connection)
  })
  return connection
}

/**
 * A parser that was paused at the last byte of a body has still to find out that the body is whole. Should
 * the origin close meanwhile, as many do after an answer without saying so, undici takes the body for cut:
 * 17 of 20 pictures of 70 kB. There is nothing to hold back after the last byte, so it goes on there.
 * (A chunked body has an end of its own that is still to be read, and the close waits behind it.)
 */
function unpausedAtTheEnd(dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] {
  return (options, handler) => {
    let left = Number.NaN
    return dispatch(options, {
      onRequestStart: (...told) => handler.onRequestStart?.(...told),
      onRequestUpgrade: (...told) => handler.onRequestUpgrade?.(...told),
      onResponseStart: (...told) => {
        left = Number(told[2]['content-length'] ?? Number.NaN)
        handler.onResponseStart?.(...told)
      },
      onResponseData: (controller, chunk) => {
        left -= chunk.length
        handler.onResponseData?.(controller, chunk)
        if (left === 0) controller.resume()
      },
      onResponseEnd: (...told) => handler.onResponseEnd?.(...told),
      onResponseError: (...told) => handler.onResponseError?.(...told),
    })
  }
}
