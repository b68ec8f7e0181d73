// What a benchmark is: it measures in rounds and says what came out as rows of a table.

import type { Engine } from './started-engines.ts'

export interface Bench {
  name: string
  /** What is measured against what, in a sentence. */
  about: string
  /** What it cannot run without. */
  needs?: readonly Engine[]
  run(context: BenchContext): Promise<BenchResult>
}

export interface BenchContext {
  /** A folder of the run's own, removed in the end. */
  directory: string
  /** Says how far it has come. */
  report(line: string): void
}

export interface BenchResult {
  /** None where the table says everything. */
  rows: Row[]
  /** For what has more than one figure to a line. */
  table?: Table
  /** Everything measured, round by round, for who wants to look closer. */
  rounds: unknown
  /** What else it ran on, with versions. */
  engines?: readonly string[]
}

/** A line of the table; `target` where one was set. */
export interface Row {
  what: string
  value: number
  unit: string
  target?: string
}

/** The first column says what, the others are figures with their units in the heading. */
export interface Table {
  columns: readonly string[]
  rows: readonly (readonly (string | number)[])[]
}
