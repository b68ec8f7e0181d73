// What somebody typed into a search box, as parameters of a text search: words are found in any form
// and as they are, "quoted" ones as a phrase, `-` excludes, `or` is or, and the last word may still be
// unfinished. No text is an error.

import { type RawBuilder, sql } from 'kysely'
import { GROWING, lowerCaseBytes, WORDS } from './growing-words.ts'
import { LONGEST_SEARCH } from './product-list.ts'

/** Beyond these, as beyond `LONGEST_SEARCH`, a search only costs time: every word is looked up, and weighed in 10,000 products. */
const MAX_WORDS = 32

/** Bytes: somewhat less than is an error to PostgreSQL. */
const LONGEST_GROWN = 2_000

export interface SearchWords {
  /** For `websearch_to_tsquery`. */
  text: string
  /** The words that `last` must be found together with. */
  beside: string
  /** For `to_tsquery`: the beginning of a word; empty when the last one is not such a beginning. */
  last: string
}

export function parseWords(typed: string): SearchWords {
  const words = withoutGrownWords(typed.slice(0, LONGEST_SEARCH)).match(/-*"[^"]*"|[^\s"]+/g) ?? []
  const used = words.slice(0, MAX_WORDS)
  const text = used.join(' ')
  const last = used.pop()
  if (last === undefined || !isBeginning(last)) return { text, beside: '', last: '' }
  // `a or b c` is a, or b and c.
  const alternative = used.findLastIndex((word) => word.toLowerCase() === 'or')
  return {
    text,
    beside: used.slice(alternative + 1).join(' '),
    last: `'${last.replace(/['\\]/g, '$&$&')}':*`,
  }
}

/** Without the words that grow so long in lower case that PostgreSQL takes them for an error. */
function withoutGrownWords(typed: string): string {
  return typed.replace(WORDS, (word) => (growsTooLong(word) ? ' ' : word))
}

function growsTooLong(word: string): boolean {
  // In a Turkish locale an `I` has two bytes in lower case.
  const undotted = word.match(/I/g)?.length ?? 0
  return (undotted > 0 || GROWING.test(word)) && lowerCaseBytes(word) + undotted >= LONGEST_GROWN
}

/** Neither quoted nor excluded, and not ended by what is no part of a word. */
function isBeginning(word: string): boolean {
  return /^[^-"].*$/su.test(word) && /[\p{L}\p{N}\p{M}]$/u.test(word)
}

/**
 * A SELECT of one row with the `query`. By English stems is found all that would be found by the words
 * as they are, but for words too common to have one. What products without any of the words could
 * meet, as `-this` or `this or -that`, no index can tell: it finds nothing.
 */
export function searchQuery({ text, beside, last }: SearchWords): RawBuilder<unknown> {
  return sql`
    SELECT CASE WHEN ${hasIndex(sql`query`)} THEN query ELSE ''::tsquery END AS query FROM (
      SELECT ${wordsQuery(text)} || CASE numnode(beginning.query) WHEN 0 THEN ''::tsquery
        ELSE ${wordsQuery(beside)} && beginning.query END AS query
      FROM (SELECT to_tsquery('simple', ${last}) AS query) AS beginning) AS words`
}

function wordsQuery(words: string): RawBuilder<unknown> {
  const english = sql`websearch_to_tsquery('english', ${words})`
  return sql`CASE WHEN ${hasIndex(english)} THEN ${english}
    ELSE websearch_to_tsquery('simple', ${words}) END`
}

function hasIndex(query: RawBuilder<unknown>): RawBuilder<boolean> {
  return sql`querytree(${query}) NOT IN ('', 'T')`
}
