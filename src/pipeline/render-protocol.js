// The frames between the parent and a picture child: two lengths, a JSON message, bytes. Both lengths
// are capped before anything is buffered, and nothing but JSON is ever parsed: the other side may be hostile.
// JavaScript, as all that the child runs: its `--jitless` leaves no WebAssembly, which type stripping needs.

/** @typedef {{ message: unknown, body: Uint8Array }} Frame */
/** @typedef {{ maxMessageBytes: number, maxBodyBytes: number }} FrameLimits */

const lengthsBytes = 8

/**
 * @param {unknown} message
 * @param {Uint8Array} [body]
 * @returns {Uint8Array}
 */
export function encodeFrame(message, body = new Uint8Array()) {
  const json = Buffer.from(JSON.stringify(message))
  const lengths = Buffer.alloc(lengthsBytes)
  lengths.writeUInt32BE(json.length, 0)
  lengths.writeUInt32BE(body.length, 4)
  return Buffer.concat([lengths, json, body])
}

/**
 * Gives a function that takes what arrived and returns the frames that are complete by now. It throws
 * RangeError for a length over its limit, SyntaxError for a message that is not JSON.
 *
 * @param {FrameLimits} limits
 * @returns {(chunk: Uint8Array) => Frame[]}
 */
export function createFrameReader(limits) {
  /** @type {Uint8Array[]} */
  let chunks = []
  let buffered = 0
  let wanted = lengthsBytes

  return (chunk) => {
    chunks.push(chunk)
    buffered += chunk.length
    const frames = []
    while (buffered >= wanted) {
      const bytes = Buffer.concat(chunks)
      const messageEnd = lengthsBytes + lengthAt(bytes, 0, limits.maxMessageBytes)
      const bodyEnd = messageEnd + lengthAt(bytes, 4, limits.maxBodyBytes)
      chunks = [bytes]
      wanted = bodyEnd
      if (buffered < wanted) break
      const message = JSON.parse(bytes.toString('utf8', lengthsBytes, messageEnd))
      frames.push({ message, body: bytes.subarray(messageEnd, bodyEnd) })
      chunks = [bytes.subarray(bodyEnd)]
      buffered -= bodyEnd
      wanted = lengthsBytes
    }
    return frames
  }
}

/**
 * @param {Buffer} bytes
 * @param {number} offset
 * @param {number} most
 */
function lengthAt(bytes, offset, most) {
  const length = bytes.readUInt32BE(offset)
  if (length > most) throw new RangeError(`a frame announces ${length} bytes, over ${most}`)
  return length
}
