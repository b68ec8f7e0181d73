// The chain of wrappers that a picture child is started through. Hosts differ in what they allow (a
// container refuses namespaces, BusyBox has no setpriv), so each wrapper is tried once, the whole chain is
// tried with the real child, and what works is kept for good: a failure that passes is not to weaken it.
// The environment of a child holds nothing of ours.

import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isAppError } from '../errors.ts'
import type { ChildCommand } from './render-child.ts'

/** What a sandbox may hold; what is missing on a host is named in its log. docs/sandbox.md says what to do. */
export const protections = [
  'memory limit',
  'no network',
  'separate user',
  'no new privileges',
  'dies with its parent',
  'low priority',
] as const
export type Protection = (typeof protections)[number]

export interface ChildProgram {
  /** A JavaScript file: no TypeScript runs without WebAssembly. */
  script: string
  args: readonly string[]
  /** Files and folders that its JavaScript may read. What native code reads is up to the user it runs as. */
  readable: readonly string[]
}

export interface ChildBounds {
  memoryBytes: number
  /** Processor time of a child's whole life, seconds. */
  cpuSeconds: number
}

export interface Sandbox {
  command: ChildCommand
  holds: readonly Protection[]
  missing: readonly Protection[]
  /** Why a better chain was not taken: the first that failed. */
  reason: string | undefined
}

/** What a child that runs as nobody is, so that the spool can be made readable to it. */
export const unprivilegedId = 65_534

interface Wrapper {
  tool: string
  args: readonly string[]
  holds: readonly Protection[]
}
/** Ways to the same protection, the best first. */
type Layer = readonly Wrapper[]
type Chain = readonly (Wrapper | undefined)[]

const run = promisify(execFile)
// Not $PATH: it is not for the environment to say what confines us.
const toolFolders = ['/usr/bin', '/bin', '/usr/sbin', '/sbin']
const probeTimeoutMs = 5_000

export interface SandboxSearch<T> {
  program: ChildProgram
  bounds: ChildBounds
  /** Starts the real child by a command; throws when that does not work, `render_timeout` when it takes too long. */
  attempt(command: ChildCommand): Promise<T>
  signal: AbortSignal
}

/**
 * Finds the strongest chain that works here. Throws the first error when not even the bare child works, and
 * `render_timeout` at once: that a child is slow says that the host is busy, not what it refuses.
 */
export async function findSandbox<T>({
  program,
  bounds,
  attempt,
  signal,
}: SandboxSearch<T>): Promise<{ sandbox: Sandbox; result: T }> {
  const layers = await Promise.all(layersFor(bounds).map(workingVariants))
  let firstError: unknown
  const best = layers.map((layer) => layer[0])
  // The best one twice, as the first child that dies may do so for want of a process or of memory.
  for (const chain of [best, best, ...weakened(best, layers)]) {
    signal.throwIfAborted()
    const command = commandOf(chain, program)
    try {
      const result = await attempt(command)
      const reason = chain === best ? undefined : firstError
      return { sandbox: describe(chain, command, reason), result }
    } catch (error) {
      if (isAppError(error, 'render_timeout')) throw error
      firstError ??= error
    }
  }
  throw firstError
}

/** Outermost first. The order matters: limits and namespaces are set up while that is still allowed. */
function layersFor(bounds: ChildBounds): Layer[] {
  return [namespaces(), limits(bounds), privileges(), priority]
}

/** No process namespace: as its first process a child would ignore its own SIGSEGV. */
function namespaces(): Layer {
  const own = ['--net', '--ipc', '--uts']
  return [{ tool: 'unshare', args: isRoot() ? own : ['--user', ...own], holds: ['no network'] }]
}

/** The data limit turns a bomb into an error that libvips reports, and the child survives it. */
function limits({ memoryBytes, cpuSeconds }: ChildBounds): Layer {
  // A hard limit on processor time above the soft one: equal ones end in a SIGKILL that tells nothing.
  const cpu = `${cpuSeconds}:${cpuSeconds + 5}`
  const ulimits = [
    `ulimit -d ${Math.ceil(memoryBytes / 1024)}`,
    `ulimit -t ${cpuSeconds}`,
    'ulimit -n 64',
    'ulimit -c 0',
    'ulimit -f 0',
    'exec "$@"',
  ]
  return [
    {
      tool: 'prlimit',
      // A file size of 0: nothing can be written but pipes.
      args: [`--data=${memoryBytes}`, `--cpu=${cpu}`, '--nofile=64', '--core=0', '--fsize=0'],
      holds: ['memory limit'],
    },
    {
      tool: 'sh',
      args: ['-c', ulimits.join(' && '), 'sh'],
      // Elsewhere a data limit is accepted, but does not bound what is mapped.
      holds: process.platform === 'linux' ? ['memory limit'] : [],
    },
  ]
}

function privileges(): Layer {
  // The signal is lost when the user changes after it was asked for: one tool does both, in order.
  const death = ['--no-new-privs', '--pdeathsig', 'SIGKILL']
  const nobody = [
    `--reuid=${unprivilegedId}`,
    `--regid=${unprivilegedId}`,
    '--clear-groups',
    '--inh-caps=-all',
    '--bounding-set=-all',
  ]
  const confined: Wrapper = {
    tool: 'setpriv',
    args: death,
    holds: ['no new privileges', 'dies with its parent'],
  }
  const dropped: Wrapper = {
    tool: 'setpriv',
    args: [...nobody, ...death],
    holds: ['separate user', 'no new privileges', 'dies with its parent'],
  }
  // Nobody but root may give a child to another user. One of our own may write what we may: all data.
  return isRoot() ? [dropped, confined] : [confined]
}

/** Requests come before pictures: the api's p99 under load halves for 3 % of the children's throughput. */
const priority: Layer = [{ tool: 'nice', args: ['-n', '10'], holds: ['low priority'] }]

async function workingVariants(layer: Layer): Promise<Wrapper[]> {
  const tried = await Promise.all(layer.map(tryWrapper))
  return tried.filter((wrapper) => wrapper !== undefined)
}

/** The wrapper by its full path, if it is there and can run a command. */
async function tryWrapper(wrapper: Wrapper): Promise<Wrapper | undefined> {
  const [tool, harmless] = await Promise.all([locate(wrapper.tool), locate('true')])
  if (!tool || !harmless) return undefined
  try {
    await run(tool, [...wrapper.args, harmless], { env: {}, timeout: probeTimeoutMs })
    return { ...wrapper, tool }
  } catch {
    return undefined
  }
}

async function locate(tool: string): Promise<string | undefined> {
  for (const folder of toolFolders) {
    const path = join(folder, tool)
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return path
  }
  return undefined
}

/** In case the best of each layer do not work together: with one weakened; then none. */
function* weakened(best: Chain, layers: readonly Layer[]): Generator<Chain> {
  for (const [at, layer] of layers.entries()) {
    if (layer.length === 0) continue
    for (const weaker of [...layer.slice(1), undefined]) yield best.with(at, weaker)
  }
  yield []
}

function commandOf(chain: Chain, { script, args, readable }: ChildProgram): ChildCommand {
  const node = [
    process.execPath,
    // No writable and executable memory, and a baseline of 36 MB that a data limit can be set above
    // (Node's code range alone is 510 MB else). Decoding is native: it costs nothing.
    '--jitless',
    '--v8-pool-size=1',
    '--max-old-space-size=64',
    '--permission',
    '--allow-addons',
    // It says that addons can get around the permissions: known, hence the rest of the chain.
    '--disable-warning=PERM0001',
    ...readable.map((path) => `--allow-fs-read=${path}`),
    script,
    ...args,
  ]
  const words = chain.flatMap((wrapper) => (wrapper ? [wrapper.tool, ...wrapper.args] : []))
  const [file = process.execPath, ...rest] = [...words, ...node]
  return {
    file,
    args: rest,
    // One thread decodes; fewer arenas save 130 MB.
    environment: { UV_THREADPOOL_SIZE: '1', MALLOC_ARENA_MAX: '2' },
  }
}

function describe(chain: Chain, command: ChildCommand, reason: unknown): Sandbox {
  const held = new Set(chain.flatMap((wrapper) => wrapper?.holds ?? []))
  return {
    command,
    holds: protections.filter((protection) => held.has(protection)),
    missing: protections.filter((protection) => !held.has(protection)),
    reason: reason === undefined ? undefined : String(reason),
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}
