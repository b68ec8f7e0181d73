// Which file may import which. The folders of src/ are layers: imports point down only, so that a
// part can be understood, tested and replaced by reading what is below it.

import type { SourceImport, SourceModule } from './source-imports.ts'

/** From the top; folders of one layer do not know each other. */
const layers: readonly (readonly string[])[] = [
  ['main.ts'],
  ['cli'],
  ['app'],
  ['http', 'pipeline'],
  ['products'],
  ['images'],
  ['users', 'auth'],
  ['jobs', 'events'],
  ['queue', 'storage', 'cache', 'database', 'outbound'],
  ['observability', 'config'],
  ['errors.ts', 'lib'],
]

/** The one exception: PostgreSQL itself carries the bell, so this adapter stands on the other port. */
const sideways: Readonly<Record<string, string>> = { 'src/queue/postgres.ts': 'database' }

/** Who may read settings: everyone else is given its slice. */
const knowsConfig: readonly string[] = ['main.ts', 'cli', 'app', 'config']

/** Packages that belong to one folder. */
const homes: Readonly<Record<string, string>> = { sharp: 'pipeline' }

/** One line for each edge that may not be: `a.ts → b.ts: reason`. */
export function findViolations(modules: readonly SourceModule[]): string[] {
  const judged = modules.filter(({ path }) => !isTest(path))
  const adapters = adaptersOf(judged)
  return [
    ...judged.flatMap((module) => [
      ...module.imports.flatMap((edge) => judge(module.path, edge, adapters)),
      ...(module.readsEnvironment && folderOf(module.path) !== 'config'
        ? [`${module.path} → process.env: only src/config reads the environment`]
        : []),
    ]),
    ...findCycles(judged),
  ]
}

function judge(from: string, edge: SourceImport, adapters: ReadonlyMap<string, string>): string[] {
  const reasons = from.startsWith('src/')
    ? [judgeSyntax(edge), judgeTarget(from, edge.target), judgeAdapter(from, edge, adapters)]
    : [judgeForeign(from, edge.target)]
  return reasons
    .filter((reason) => reason !== undefined)
    .map((reason) => `${from} → ${edge.target}: ${reason}`)
}

function judgeSyntax({ kind }: SourceImport): string | undefined {
  if (kind === 'computed') return 'what is imported must be readable from the text'
  return undefined
}

function judgeTarget(from: string, target: string): string | undefined {
  if (target.startsWith('src/')) return isTest(target) ? 'a test' : judgeDirection(from, target)
  if (target === 'package.json') return undefined
  if (/^(\.\.|test|bench|scripts|console|node_modules)(\/|$)/.test(target)) return 'outside src/'
  const home = homes[packageOf(target)]
  if (home !== undefined && home !== folderOf(from)) return `only src/${home} uses it`
  return undefined
}

function judgeDirection(from: string, target: string): string | undefined {
  const [user, used] = [folderOf(from), folderOf(target)]
  if (user === used) return undefined
  const [above, below] = [layerOf(user), layerOf(used)]
  if (above === -1) return `src/${user} has no place in the layers`
  if (below === -1) return `src/${used} has no place in the layers`
  if (below < above) return `upwards: ${used} is above ${user}`
  if (below === above && sideways[from] !== used) return `sideways: ${user} does not know ${used}`
  if (used === 'config' && !knowsConfig.includes(user))
    return `${user} is given its slice of the settings`
  return undefined
}

/** Each adapter with its `open.ts`: the files of its folder that an `open.ts` loads. */
function adaptersOf(modules: readonly SourceModule[]): Map<string, string> {
  return new Map(
    modules
      .filter(({ path }) => path.endsWith('/open.ts'))
      .flatMap(({ path, imports }) =>
        imports
          .filter(({ kind, target }) => kind !== 'type' && isSibling(path, target))
          .map(({ target }) => [target, path] as const),
      ),
  )
}

function judgeAdapter(
  from: string,
  { target, kind }: SourceImport,
  adapters: ReadonlyMap<string, string>,
): string | undefined {
  const door = adapters.get(target)
  if (door === undefined) return undefined
  if (door !== from) return `an adapter, only ${door} imports it`
  return kind === 'static' ? 'an adapter, to be loaded with await import()' : undefined
}

function judgeForeign(from: string, target: string): string | undefined {
  if (from.startsWith('console/') && target.startsWith('src/'))
    return 'the console is a client like any other'
  return undefined
}

/** One line for each way that leads back to where it started; type imports count. */
function findCycles(modules: readonly SourceModule[]): string[] {
  const importsOf = new Map(modules.map(({ path, imports }) => [path, imports]))
  const finished = new Set<string>()
  const cycles: string[] = []
  const follow = (path: string, way: readonly string[]): void => {
    const seen = way.indexOf(path)
    if (seen >= 0) cycles.push(`${[...way.slice(seen), path].join(' → ')}: a cycle`)
    if (seen >= 0 || finished.has(path)) return
    const targets = new Set(importsOf.get(path)?.map(({ target }) => target))
    for (const target of targets) follow(target, [...way, path])
    finished.add(path)
  }
  for (const { path } of modules) follow(path, [])
  return cycles
}

/** `storage` for src/storage/open.ts, `errors.ts` for src/errors.ts. */
function folderOf(path: string): string {
  return path.split('/')[1] ?? ''
}

function layerOf(folder: string): number {
  return layers.findIndex((layer) => layer.includes(folder))
}

function isSibling(path: string, target: string): boolean {
  return target.slice(0, target.lastIndexOf('/')) === path.slice(0, path.lastIndexOf('/'))
}

function isTest(path: string): boolean {
  return /\.test\.[jt]sx?$/.test(path)
}

/** `@scope/name` or `name`, without the path inside the package. */
function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}
