// What a list of measurements comes to.

export function median(values: readonly number[]): number {
  return percentile(values, 50)
}

/** The nearest measured value: a percentile is something that happened. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const index = Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)
  const value = sorted[index]
  if (value === undefined) throw new RangeError('nothing was measured')
  return value
}

/** To three significant digits: more is noise. */
export function round(value: number): number {
  return Number(value.toPrecision(3))
}
