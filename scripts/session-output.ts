// Whether an output is what a page shows. What differs from run to run (ids, times, URLs, what depends
// on the picture) has to be of the same kind; everything else has to be equal.

/** Values that the page shows, and what stood in their place this time. */
export type Learnt = Map<string, string>

/** These follow from the picture, and the page's picture is not at hand everywhere. */
const ofThePicture = new Set(['width', 'height', 'bytes', 'thumbhash'])

/**
 * Compares, and returns the first difference as a sentence, undefined when there is none. Text that is
 * not JSON is compared by lines, `…` standing for anything.
 */
export function compareOutput(shown: string, actual: string, learnt: Learnt): string | undefined {
  const json = parse(shown)
  if (json === undefined) return compareText(withLearnt(shown, learnt), actual)
  const value = parse(actual)
  if (value === undefined) return `expected JSON, got ${JSON.stringify(actual.slice(0, 500))}`
  return compareValue(json, value, { path: '', key: '', learnt })
}

/** The command with this session's values in place of the page's. */
export function withLearnt(command: string, learnt: Learnt): string {
  const longestFirst = [...learnt].sort(([a], [b]) => b.length - a.length)
  return longestFirst.reduce((text, [shown, actual]) => text.replaceAll(shown, actual), command)
}

interface Place {
  path: string
  /** Of the object's member it is, or is an element of. */
  key: string
  learnt: Learnt
}

function compareValue(shown: unknown, actual: unknown, place: Place): string | undefined {
  if (kindOf(shown) !== kindOf(actual)) return differ(shown, actual, place)
  if (Array.isArray(shown) && Array.isArray(actual)) return compareArrays(shown, actual, place)
  if (isObject(shown) && isObject(actual)) return compareObjects(shown, actual, place)
  if (ofThePicture.has(place.key) || shown === actual) return undefined
  if (typeof shown !== 'string' || typeof actual !== 'string') return differ(shown, actual, place)
  const form = formOf(shown)
  if (form === undefined || form !== formOf(actual)) return differ(shown, actual, place)
  place.learnt.set(shown, actual)
  return undefined
}

function compareArrays(
  shown: readonly unknown[],
  actual: readonly unknown[],
  place: Place,
): string | undefined {
  if (shown.length !== actual.length) return differ(shown, actual, place)
  return first(shown.entries(), ([index, element]) =>
    compareValue(element, actual[index], { ...place, path: `${place.path}/${index}` }),
  )
}

function compareObjects(
  shown: Readonly<Record<string, unknown>>,
  actual: Readonly<Record<string, unknown>>,
  place: Place,
): string | undefined {
  const [expected, got] = [Object.keys(shown).join(), Object.keys(actual).join()]
  if (expected !== got) return `${place.path || '/'} has the members ${got} instead of ${expected}`
  return first(Object.entries(shown), ([key, member]) =>
    compareValue(member, actual[key], { ...place, key, path: `${place.path}/${key}` }),
  )
}

function compareText(shown: string, actual: string): string | undefined {
  const got = actual.trim().split('\n')
  return first(shown.trim().split('\n').entries(), ([index, line]) => {
    const pattern = line.trim().split('…').map(RegExp.escape).join('.*')
    if (new RegExp(`^${pattern}$`).test(got[index]?.trim() ?? '')) return undefined
    return `line ${index + 1} is ${JSON.stringify(got[index])} instead of ${JSON.stringify(line)}`
  })
}

/** Strings that a run makes anew, by their form. */
function formOf(text: string): string | undefined {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) return 'id'
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(text)) return 'time'
  if (/^https?:\/\/\S+$/.test(text)) return 'URL'
  return undefined
}

function differ(shown: unknown, actual: unknown, { path }: Place): string {
  return `${path || '/'} is ${JSON.stringify(actual)} instead of ${JSON.stringify(shown)}`
}

function first<T>(items: Iterable<T>, find: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return undefined
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
