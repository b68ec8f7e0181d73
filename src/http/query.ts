// Query strings, taken apart strictly: what is given twice or is not UTF-8 is kept visible for the
// validator, which refuses it, instead of being guessed at.

/** A parameter's value; an array when it was given more than once; null when it cannot be decoded. */
export type QueryValue = string | string[] | null
export type Query = Record<string, QueryValue>

/** Never throws. `text` is what follows the `?`, as it arrived. */
export function parseQuery(text: string): Query {
  const query: Query = Object.create(null)
  if (text === '') return query
  for (const pair of text.split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decode(equals < 0 ? pair : pair.slice(0, equals))
    const value = equals < 0 ? '' : decode(pair.slice(equals + 1))
    // A name that cannot be decoded is none that we know.
    if (name !== null) query[name] = name in query ? repeated(query[name], value) : value
  }
  return query
}

function repeated(earlier: QueryValue | undefined, value: string | null): string[] {
  return [...[earlier ?? ''].flat(), value ?? '']
}

/** `+` is a space, as forms send it. */
function decode(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return null
  }
}
