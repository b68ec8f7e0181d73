// Bytes to lines, in memory bounded by the longest line that is let through.

export interface Line {
  /** From 1, as editors count. */
  number: number
  /** Without the line feed; undefined when it has more than `maxBytes`. Valid until the next line is asked for. */
  bytes: Buffer | undefined
  /** Bytes of the whole input up to the end of this line. */
  end: number
}

const LINE_FEED = 0x0a

/** The lines of an input; a last one without a line feed counts, nothing after the last line feed does not. */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  { maxBytes }: { maxBytes: number },
): AsyncGenerator<Line> {
  let started: Buffer[] = []
  let startedBytes = 0
  let number = 0
  let end = 0
  const finish = (rest: Buffer): Line => {
    const whole = startedBytes === 0 ? rest : Buffer.concat([...started, rest])
    const tooLong = startedBytes + rest.length > maxBytes
    started = []
    startedBytes = 0
    return { number: ++number, bytes: tooLong ? undefined : whole, end }
  }
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    const before = end
    let from = 0
    for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, from)) {
      end = before + at + 1
      yield finish(bytes.subarray(from, at))
      from = at + 1
    }
    end = before + bytes.length
    const rest = bytes.subarray(from)
    // What is too long already is counted on, not kept.
    if (startedBytes <= maxBytes && rest.length > 0) started.push(rest)
    else started = []
    startedBytes += rest.length
  }
  if (startedBytes > 0) yield finish(Buffer.alloc(0))
}
