// Where a text stops being JSON (RFC 8259). JSON.parse says so for some mistakes only, and a client
// with a 500 KB body wants to know for all of them. Linear in the text; never recurses.

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const LITERAL = /true|false|null/y
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
const SPACE = /[ \t\n\r]*/y

type Expected = 'value' | 'value or ]' | 'key' | 'key or }' | ':' | ', or close'

/** The offset of the first character that cannot stand where it does (the length, when the text ends too early); undefined for JSON. */
export function jsonErrorOffset(text: string): number | undefined {
  const open: ('[' | '{')[] = []
  let expected: Expected = 'value'
  let at = 0

  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at
    if (!pattern.test(text)) return false
    at = pattern.lastIndex
    return true
  }
  const takeString = (): boolean => {
    if (text[at] !== '"') return false
    at++
    for (;;) {
      const code = text.charCodeAt(at)
      if (code === 0x22) break
      if (code === 0x5c) {
        if (!take(ESCAPE)) return false
      } else if (code >= 0x20) at++
      else return false // A control character, or NaN: the end.
    }
    at++
    return true
  }
  const close = (): boolean => {
    if (text[at] !== (open.at(-1) === '[' ? ']' : '}')) return false
    open.pop()
    at++
    expected = ', or close'
    return true
  }
  const takeValue = (): boolean => {
    const char = text[at]
    if (char === '[' || char === '{') {
      open.push(char)
      at++
      expected = char === '[' ? 'value or ]' : 'key or }'
      return true
    }
    expected = ', or close'
    return takeString() || (char !== '"' && (take(NUMBER) || take(LITERAL)))
  }
  const takeNext = (): boolean => {
    switch (expected) {
      case 'value':
        return takeValue()
      case 'value or ]':
        return close() || takeValue()
      case 'key or }':
        if (close()) return true
        expected = ':'
        return takeString()
      case 'key':
        expected = ':'
        return takeString()
      case ':':
        if (text[at] !== ':') return false
        at++
        expected = 'value'
        return true
      case ', or close':
        if (close()) return true
        if (text[at] !== ',') return false
        at++
        expected = open.at(-1) === '[' ? 'value' : 'key'
        return true
    }
  }

  const isComplete = () => open.length === 0 && expected === ', or close'
  for (;;) {
    take(SPACE)
    if (isComplete()) return at === text.length ? undefined : at
    if (!takeNext()) return at
  }
}
