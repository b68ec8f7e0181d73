// A process as a container engine starts it: the first of its process namespace, in a read-only root of its
// own, as the image's user and without capabilities. It shares the machine's network. Root can do that
// with the tools of any Linux.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from './eventually.ts'
import { type Image, installedPackages, layOut } from './image.ts'

export interface Container extends AsyncDisposable {
  output(): string
  hasEnded(): boolean
  /** Of the first process, as the kernel shows it: `/proc/<pid>/<file>`. */
  look(file: 'status' | 'mountinfo'): Promise<string>
  /** As `docker stop` does; resolves to the exit code. */
  stop(): Promise<number | null>
}

export interface ContainerOptions {
  environment: Readonly<Record<string, string>>
  /** Folders in memory that it may write to. */
  writable?: readonly string[]
  /** Instead of the image's command. */
  command?: readonly string[]
}

export interface Containers extends AsyncDisposable {
  start(options: ContainerOptions): Container
}

/** For the option `skip` of a test. */
export function noContainers(): string | false {
  if (process.getuid?.() !== 0) return 'only root can start something as another user'
  try {
    execFileSync('unshare', ['--mount', '--pid', '--fork', 'true'], { stdio: 'ignore' })
    return false
  } catch {
    return 'this machine gives no namespaces'
  }
}

/**
 * Arguments: where the root is made; the image's files and the folder they belong in; packages, and those to
 * hide; Node.js; the user; folders to write to; `--`; the command.
 */
const ENTER = `
set -e
root=$1 files=$2 place=$3 packages=$4 hidden=$5 node=$6 user=$7; shift 7
mount -t tmpfs -o mode=0755 none "$root"
for name in bin sbin lib lib64 usr etc dev; do
  [ -e "/$name" ] || continue
  mkdir "$root/$name"
  mount --bind -o ro "/$name" "$root/$name"
done
mkdir -p "$root/proc" "$root/opt/node" "$root$place"
mount -t proc none "$root/proc"
touch "$root/opt/node/node"
mount --bind -o ro "$node" "$root/opt/node/node"
mount --bind -o ro "$files" "$root$place"
mount --bind -o ro "$packages" "$root$place/node_modules"
for name in $hidden; do mount -t tmpfs -o ro none "$root$place/$name"; done
while [ "$1" != -- ]; do
  mkdir -p "$root$1"
  mount -t tmpfs -o "uid=$user,gid=$user,mode=0700" none "$root$1"
  shift
done
shift
mount -o remount,ro "$root"
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs \\
  --inh-caps=-all --bounding-set=-all --pdeathsig KILL sh -c 'cd "$0" && exec "$@"' "$place" "$@"
`

/** Lays out the image once, for any number of its containers. */
export async function prepareContainers(image: Image): Promise<Containers> {
  await using starting = new AsyncDisposableStack()
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-image-'))
  starting.defer(() => rm(parent, { recursive: true, force: true }))
  const files = join(parent, 'files')
  await layOut(image, files)
  const root = join(parent, 'root')
  await mkdir(root)
  const { path, hidden } = await installedPackages()
  const [user = ''] = image.user.split(':')
  const everything = starting.move()
  return {
    start: ({ environment, writable = [], command = image.command }) => {
      const place = [root, files, image.folder, path, hidden.join(' '), process.execPath, user]
      const rest = [...writable, '--', ...image.entrypoint, ...command]
      const env = {
        PATH: '/opt/node:/usr/bin:/bin:/usr/sbin:/sbin',
        ...image.environment,
        ...environment,
      }
      return run(['sh', '-c', ENTER, 'sh', ...place, ...rest], env)
    },
    [Symbol.asyncDispose]: () => everything.disposeAsync(),
  }
}

function run(command: readonly string[], env: Record<string, string>): Container {
  // Each ends with its parent, and the first with the test, even if that is killed. What becomes another user
  // loses that, and asks for it again.
  const outer = ['--pdeathsig', 'KILL', 'unshare', '--mount', '--pid', '--fork', '--kill-child']
  const child = spawn('setpriv', [...outer, ...command], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const written: string[] = []
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => written.push(text))
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  /** The first process of the namespace, by its number out here. */
  const first = () =>
    eventually(async () => {
      const pid = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')
      if (pid === '') throw new Error(`it has not begun, or has ended: ${written.join('')}`)
      return Number(pid)
    })
  return {
    output: () => written.join(''),
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    look: async (file) => await readFile(`/proc/${await first()}/${file}`, 'utf8'),
    stop: async () => {
      process.kill(await first(), 'SIGTERM')
      return await exited
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}
