// Words that grow when they are lower-cased: `Ⱥ` has two bytes and `ⱥ` three. PostgreSQL leaves words of
// 2,048 bytes and more out of a text search, but looks at them before it lower-cases them. One that is
// too long only then is an error in what is searched for, and in what is stored it brings the server down
// (segmentation fault, seen with 15): neither may come to it.

/** Bytes of UTF-8 that no word of a text search may have. */
export const TOO_LONG = 2_048

/**
 * At most so many bytes does a word have in lower case, whatever else in it shrinks. Not so where the
 * database's character type is Turkish: there an `I` grows as well, from one byte to two. The README warns of it;
 * to refuse every long word for its `I`s would refuse pictures that are written out in a description.
 */
export function lowerCaseBytes(word: string): number {
  return [...word].reduce((sum, character) => sum + Math.max(...bytesOf(character)), 0)
}

/** Fewer code units never grow beyond what PostgreSQL takes: none has more than three bytes. */
const SHORTEST = Math.ceil(TOO_LONG / 3)

/** What may be one word to PostgreSQL has no blank in it. U+FEFF is one to JavaScript only. */
const runs = new RegExp(`[\\S\\ufeff]{${SHORTEST},}`, 'g')

/** True when a word of this text might be too long for a search in lower case, and is not as it stands. */
export function hasGrowingWord(text: string): boolean {
  if (text.length < SHORTEST) return false
  const long = text.match(runs) ?? []
  // It may be a part of the run that is not too long yet.
  return long.some((run) => lowerCaseBytes(run) >= TOO_LONG && [...run].some(grows))
}

function grows(character: string): boolean {
  const [before, after] = bytesOf(character)
  return after > before
}

function bytesOf(character: string): [asItIs: number, inLowerCase: number] {
  return [Buffer.byteLength(character), Buffer.byteLength(character.toLowerCase())]
}
