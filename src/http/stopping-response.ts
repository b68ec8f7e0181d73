// What a server that stops says with every answer: that it will close the connection. A proxy that is
// not told sends its next request down a connection that is gone.

import {
  type IncomingMessage,
  type OutgoingHttpHeader,
  type OutgoingHttpHeaders,
  ServerResponse,
} from 'node:http'

type Head = OutgoingHttpHeaders | OutgoingHttpHeader[]

/**
 * For `http.createServer`. Decided when the head of an answer is written, not when its request came:
 * some answers take half a minute. A hook there would cost every cached read.
 */
export function createResponseClass(isStopping: () => boolean): typeof ServerResponse {
  // A subclass is the way that Node offers to say it for any answer, streams and errors included.
  return class<Request extends IncomingMessage> extends ServerResponse<Request> {
    override writeHead(status: number, reason?: string | Head, headers?: Head): this {
      if (isStopping()) this.shouldKeepAlive = false
      // Both forms of its arguments go on as they are.
      return super.writeHead(status, reason as string, headers)
    }
  }
}
