// What an import came to, for people and for programs.

import type { ImportProgress } from '../products/product-import.ts'
import { clock, grouped, rateOf } from './progress.ts'

export interface ImportSummary {
  /** What is stored; of a dry run, what would be. */
  reached: ImportProgress
  /** Why the end of the input was not reached. */
  failure: string | undefined
  elapsedMs: number
  isDryRun: boolean
  /** How many lines each reason refused. */
  reasons: ReadonlyMap<string, number>
}

export function renderSummary(summary: ImportSummary): string {
  const { failure, elapsedMs, isDryRun } = summary
  const { line, products, pictures, refused } = summary.reached
  const stored = `${isDryRun ? 'would store' : 'stored'} ${grouped(products)} products with ${grouped(pictures)} pictures`
  const time = `in ${clock(elapsedMs)} (${grouped(rateOf(products, elapsedMs))}/s)`
  const lines = [`${stored} ${time}; ${grouped(refused)} lines refused`]
  for (const [reason, count] of sorted(summary.reasons))
    lines.push(`${grouped(count).padStart(12)}  ${reason}`)
  if (failure !== undefined) {
    lines.push(`stopped after line ${line}: ${failure}`)
    lines.push(
      `everything up to there is ${isDryRun ? 'judged' : 'stored or refused'}; --from-line ${line + 1} goes on`,
    )
  }
  return `${lines.join('\n')}\n`
}

/** One JSON object. */
export function renderSummaryJson(summary: ImportSummary): string {
  const { line, products, pictures, refused } = summary.reached
  const report = {
    dry_run: summary.isDryRun,
    complete: summary.failure === undefined,
    failure: summary.failure ?? null,
    through_line: line,
    products,
    pictures,
    refused,
    reasons: Object.fromEntries(sorted(summary.reasons)),
    seconds: Math.round(summary.elapsedMs) / 1_000,
    products_per_second: rateOf(products, summary.elapsedMs),
  }
  return `${JSON.stringify(report)}\n`
}

function sorted(reasons: ReadonlyMap<string, number>): [reason: string, count: number][] {
  return [...reasons].sort(([, one], [, other]) => other - one)
}
