// A client of server-sent events, as strict as the standard asks: what it does not understand it keeps.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, get, type IncomingHttpHeaders } from 'node:http'
import { eventually } from './eventually.ts'

export interface Entry {
  id: string | undefined
  event: string
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what the test is about
  data: any
}

export interface StreamClient extends AsyncDisposable {
  status: number
  headers: IncomingHttpHeaders
  /** Every entry so far that carried data. */
  entries: Entry[]
  /** Everything so far, as it came. */
  text(): string
  /** Entries that are events of the log. */
  events(): Entry[]
  /** Resolves with the entries once there are so many. */
  has(count: number): Promise<Entry[]>
  /** Resolves when the server has ended the stream; false when it was torn off. */
  ended: Promise<boolean>
  /** Stops reading, and lets the server feel it. */
  pause(): void
  resume(): void
  /** Goes away without a word. */
  leave(): void
}

/** `url` of a stream; resolves once the head of the answer is there. */
export async function openStream(
  url: string,
  headers: Record<string, string> = {},
): Promise<StreamClient> {
  const agent = new Agent({ keepAlive: false, maxSockets: 1 })
  const request = get(url, { headers, agent })
  const [response] = await once(request, 'response')
  const entries: Entry[] = []
  let text = ''
  let unread = ''
  response.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    const frames = (unread + chunk).split('\n\n')
    unread = frames.pop() ?? ''
    for (const frame of frames) {
      const entry = parse(frame)
      if (entry) entries.push(entry)
    }
  })
  const ended = new Promise<boolean>((resolve) => {
    response.on('error', () => {})
    response.once('close', () => resolve(response.complete))
  })
  const leave = () => {
    request.on('error', () => {}).destroy()
    agent.destroy()
  }
  return {
    status: response.statusCode,
    headers: response.headers,
    entries,
    text: () => text,
    events: () => entries.filter(({ event }) => event !== 'snapshot' && event !== 'resync'),
    has: async (count) => {
      await eventually(() => assert.ok(entries.length >= count, `${entries.length} of ${count}`))
      return entries
    },
    ended,
    pause: () => void response.pause(),
    resume: () => void response.resume(),
    leave,
    [Symbol.asyncDispose]: async () => leave(),
  }
}

/** Undefined for comments and for what has no data. */
function parse(frame: string): Entry | undefined {
  const fields = new Map<string, string>()
  for (const line of frame.split('\n')) {
    assert.ok(!line.includes('\r'), 'a line break within a line')
    if (line.startsWith(':')) continue
    const [, name = '', value = ''] =
      /^([a-z]+): (.*)$/s.exec(line) ?? assert.fail(`a line ${line}`)
    assert.ok(!fields.has(name), `${name} twice`)
    fields.set(name, value)
  }
  const data = fields.get('data')
  if (data === undefined) return undefined
  return { id: fields.get('id'), event: fields.get('event') ?? 'message', data: JSON.parse(data) }
}
