// What processes use, as the Linux kernel counts it.

import { readdir, readFile } from 'node:fs/promises'

const KIB = 1024
/** The kernel's clock ticks a second, a constant of its interface (USER_HZ). */
const TICKS_PER_SECOND = 100

export interface Memory {
  /** Resident bytes of the process itself. */
  parent: number
  /** Resident bytes of everything that it started, summed: pages they share count in each. */
  children: number
}

export async function memoryOf(pid: number): Promise<Memory> {
  const descendants = await descendantsOf(pid)
  const sizes = await Promise.all(descendants.map(residentBytes))
  return {
    parent: await residentBytes(pid),
    children: sizes.reduce((sum, size) => sum + size, 0),
  }
}

/** Samples until disposed and keeps the peaks. */
export function watchMemory(pid: number, everyMs = 100): { peak: Memory } & Disposable {
  const peak: Memory = { parent: 0, children: 0 }
  const timer = setInterval(async () => {
    const now = await memoryOf(pid)
    peak.parent = Math.max(peak.parent, now.parent)
    peak.children = Math.max(peak.children, now.children)
  }, everyMs)
  return { peak, [Symbol.dispose]: () => clearInterval(timer) }
}

/** Processor time of the process itself so far, user and system, milliseconds. */
export async function cpuMsOf(pid: number): Promise<number> {
  const fields = await statFields(pid)
  return msOf(fields.slice(11, 13))
}

/** That of what it has started so far, whether it still runs or was waited for. */
export async function childrenCpuMsOf(pid: number): Promise<number> {
  const ended = msOf((await statFields(pid)).slice(13, 15))
  const running = await Promise.all((await descendantsOf(pid)).map(cpuMsOf))
  return running.reduce((sum, ms) => sum + ms, ended)
}

function msOf(ticks: readonly string[]): number {
  return (ticks.map(Number).reduce((sum, each) => sum + each, 0) * 1000) / TICKS_PER_SECOND
}

/** As the kernel lists them, for each thread those that it started: looking through all processes costs milliseconds. */
async function descendantsOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []) // it has ended meanwhile
  const lists = await Promise.all(
    threads.map((id) => readFile(`/proc/${pid}/task/${id}/children`, 'utf8').catch(() => '')),
  )
  const children = lists.join(' ').split(' ').filter(Boolean).map(Number)
  return [...children, ...(await Promise.all(children.map(descendantsOf))).flat()]
}

/** From the state on: what stands before it may contain blanks. */
async function statFields(pid: number): Promise<string[]> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * KIB
}
