// A disk that is soon full: a program's own view of a folder, mounted for it alone.

import { execFile, execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const UNSHARE = ['--mount', '--map-root-user']

/** For the option `skip` of a test. */
export function noSmallDisk(): string | false {
  try {
    const probe = ['sh', '-c', `mount -t tmpfs -o size=1m none ${tmpdir()}`]
    execFileSync('unshare', [...UNSHARE, ...probe], { stdio: 'ignore' })
    return false
  } catch {
    return 'this machine does not let us mount a small disk'
  }
}

/** Runs a script with a disk of so many MiB in place of `directory`, its first argument. Resolves to what it printed. */
export async function runOnSmallDisk(
  script: URL,
  { directory, mebibytes }: { directory: string; mebibytes: number },
): Promise<string> {
  const command = `mount -t tmpfs -o size=${mebibytes}m none "$0" && exec "$1" "$2" "$0"`
  const program = [process.execPath, fileURLToPath(script)]
  const args = [...UNSHARE, 'sh', '-c', command, directory, ...program]
  return (await promisify(execFile)('unshare', args)).stdout
}
