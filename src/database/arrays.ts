// PostgreSQL's text form of arrays, both ways: `{a,"b c",NULL,{…}}`.

/** Writes the items; `write` gives an item's own text form, null stays NULL, nested lists nest. */
export function formatArray(items: readonly unknown[], write: (item: unknown) => string): string {
  const texts = items.map((item) => {
    if (item === null) return 'NULL'
    if (Array.isArray(item)) return formatArray(item, write)
    return `"${write(item).replace(/[\\"]/g, '\\$&')}"`
  })
  return `{${texts.join(',')}}`
}

/** One item: a quoted text, a bare one, or a brace. Bare items hold no quote, comma, brace or backslash. */
const TOKEN = /"((?:[^"\\]|\\[\s\S])*)"|([^",{}\\]+)|[{}]/gy

/** Reads what PostgreSQL writes; `read` turns an item's text into its value. Lower bounds are not supported. */
export function parseArray(text: string, read: (item: string) => unknown): unknown[] {
  const stack: unknown[][] = [[]]
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex
    const [token, quoted, bare] = TOKEN.exec(text) ?? []
    if (token === undefined) throw new RangeError(`not an array: ${text}`)
    if (token === '{') stack.push([])
    else if (token === '}') close(stack, text)
    else if (quoted !== undefined) stack.at(-1)?.push(read(quoted.replace(/\\([\s\S])/g, '$1')))
    else if (bare !== undefined) stack.at(-1)?.push(bare === 'NULL' ? null : read(bare))
    TOKEN.lastIndex = at + token.length + (text[at + token.length] === ',' ? 1 : 0)
  }
  const [array, ...more] = stack[0] ?? []
  if (stack.length !== 1 || more.length > 0 || !Array.isArray(array))
    throw new RangeError(`not an array: ${text}`)
  return array
}

function close(stack: unknown[][], text: string): void {
  const finished = stack.pop()
  const parent = stack.at(-1)
  if (!finished || !parent) throw new RangeError(`not an array: ${text}`)
  parent.push(finished)
}
