// One HTTP connection to one origin, opened by its first request.

import { Client, type Dispatcher } from 'undici'
import { type Answer, Exchange } from './exchange.ts'

export interface OutboundRequest {
  /** With its query. */
  path: string
  headers: Readonly<Record<string, string>>
  /** Covers the body too; rejects with its reason. */
  signal: AbortSignal
}

export interface Connection {
  /** True when it has carried an answer: its other end may have closed it just now. */
  readonly isUsed: boolean
  /** False before the first request, and once either end has closed it. */
  readonly isOpen: boolean
  /** A GET, one at a time. */
  request(request: OutboundRequest): Promise<Answer>
  /** Ends what it carries; resolves once it is closed. Never rejects. */
  close(): Promise<void>
}

/** `onClosed` is called whenever it was open and is no more, whichever end closed it. */
export function createConnection(
  origin: string,
  { onClosed, ...options }: Client.Options & { onClosed(connection: Connection): void },
): Connection {
  const client = new Client(origin, options)
  let isOpen = false
  let isUsed = false
  const connection: Connection = {
    get isOpen() {
      return isOpen
    },
    get isUsed() {
      return isUsed
    },
    request: async ({ path, headers, signal }) => {
      const answer = await get(client, { origin, path, headers }, signal)
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

function get(
  client: Client,
  request: Omit<Dispatcher.DispatchOptions, 'method'>,
  signal: AbortSignal,
): Promise<Answer> {
  const exchange = new Exchange(signal)
  client.dispatch({ ...request, method: 'GET' }, exchange)
  return exchange.answered
}
