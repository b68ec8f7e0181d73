// Puts the newest results into docs/performance.md, between the marks that name their bench, and draws
// what the cache is worth. A bench without results keeps what stands there. Results themselves stay on the machine
// that measured them: git ignores their folder.

import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { barChart } from './bar-chart.ts'
import type { Row, Table } from './bench.ts'
import { newestRuns, type Result, type Run } from './results.ts'

const PAGE = fileURLToPath(new URL('../docs/performance.md', import.meta.url))
const PLOT = fileURLToPath(new URL('../docs/performance/cached.svg', import.meta.url))
const BLOCK = /(<!-- bench (\w+) -->\n)[\s\S]*?(<!-- end -->)/g

export async function writeReport(report: (line: string) => void): Promise<void> {
  const runs = await newestRuns()
  refuseDirty(runs)
  const page = await readFile(PAGE, 'utf8')
  const filled = page.replace(BLOCK, (block, start: string, name: string, end: string) => {
    const run = runs.get(name)
    const result = run?.results[name]
    report(`${name}: ${result ? run.at : 'no results'}`)
    return result ? `${start}\n${blockOf(run, result)}\n\n${end}` : block
  })
  await writeFile(PAGE, filled)
  const cached = runs.get('cached')?.results.cached?.table
  if (cached) await writeFile(PLOT, plotOf(cached))
}

/** Nobody could measure again what no commit has. */
function refuseDirty(runs: ReadonlyMap<string, Run>): void {
  const dirty = [...runs].filter(([, { commit }]) => commit.endsWith('-dirty'))
  if (dirty.length === 0) return
  const told = dirty.map(([name, { commit }]) => `${name} (${commit})`).join(', ')
  throw new Error(
    `the newest results were measured with changes that are in no commit: ${told}; commit them and run these again`,
  )
}

function blockOf(run: Run, { about, rows, table, engines = [] }: Result): string {
  const tables = [table, rows.length > 0 ? tableOf(rows) : undefined]
  const parts = tables.flatMap((each) => (each ? [markdownTable(each)] : []))
  return [`*${about}*`, ...parts, conditionsOf(run, engines)].join('\n\n')
}

function tableOf(rows: readonly Row[]): Table {
  const hasTarget = rows.some(({ target }) => target !== undefined)
  return {
    columns: ['figure', 'median', ...(hasTarget ? ['target'] : [])],
    rows: rows.map(({ what, value, unit, target = '' }) => [
      what,
      `${value} ${unit}`.trim(),
      ...(hasTarget ? [target] : []),
    ]),
  }
}

function markdownTable({ columns, rows }: Table): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`
  const rule = columns.map((_, at) => (at === 0 ? '---' : '---:'))
  return [line(columns), line(rule), ...rows.map(line)].join('\n')
}

function conditionsOf(run: Run, engines: readonly string[]): string {
  const { at, commit, node, processors, memoryBytes, server } = run
  const memory = `${Math.round(memoryBytes / 1024 ** 3)} GiB`
  const machine = `${processors.length} × ${processors[0]}, ${memory}`
  return `<sub>${[at.slice(0, 10), commit, machine, `Node.js ${node.slice(1)}`, server, ...engines].filter(Boolean).join(' · ')}</sub>`
}

function plotOf({ rows }: Table): string {
  return barChart({
    title: 'GET /products/:id, requests a second',
    bars: rows.map(([what, perSecond, , , , statements]) => ({
      label: String(what),
      value: Number(perSecond),
      note: `${Number(perSecond).toLocaleString('en')}/s, ${Number(statements).toPrecision(2)} statements each`,
      isFaint: String(what).startsWith('uncached'),
    })),
  })
}
