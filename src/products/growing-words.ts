// Words that grow when they are lower-cased: `Ⱥ` has two bytes and `ⱥ` three. PostgreSQL leaves words of
// 2,047 bytes and more out of a text search, but looks at them before it lower-cases them. One that is
// too long only then is an error in what is searched for, and in what is stored it brings the server down
// (segmentation fault, seen with 15): neither may come to it.

/** Bytes of UTF-8 that no word of a stored text may come to in lower case. */
const TOO_LONG = 2_048

/**
 * What may hold a word of PostgreSQL's, or several. No blank is in any, nor one of these signs, nor punctuation beyond
 * ASCII. U+FEFF is a blank to JavaScript only.
 */
export const WORDS = /[[\S\ufeff]--["<>\\^`\{\|\}]--[\p{P}--\p{ASCII}]]+/gv

/** All characters that have more bytes in lower case. */
export const GROWING = /[İȺȾ]/

/** True when a word of this text might be too long for a search in lower case, and is not as it stands. */
export function hasGrowingWord(text: string): boolean {
  if (!GROWING.test(text)) return false
  const runs = text.match(WORDS) ?? []
  return runs.some((run) => GROWING.test(run) && lowerCaseBytes(run) >= TOO_LONG)
}

/**
 * At most so many bytes does a word have in lower case, whatever else in it shrinks. Not so where the
 * database's locale is Turkish: there an `I` grows as well, from one byte to two.
 */
export function lowerCaseBytes(word: string): number {
  return [...word].reduce(
    (sum, character) =>
      sum + Math.max(Buffer.byteLength(character), Buffer.byteLength(character.toLowerCase())),
    0,
  )
}
