// A place in the event log, as clients keep it to go on from: the id of the last event they have, and
// the epoch in which it means something.

export interface Position {
  /** Eight hexadecimal digits. */
  epoch: string
  /** The place is after this event. */
  id: number
}

/** What `parsePosition` understands; fifteen digits fit a number. */
export const POSITION = '^[0-9a-f]{8}-\\d{1,15}$'
const pattern = new RegExp(POSITION)

/** `1f0c83d2-4711`. */
export function formatPosition({ epoch, id }: Position): string {
  return `${epoch}-${id}`
}

/** Undefined for what is no position of any log. */
export function parsePosition(text: string): Position | undefined {
  if (!pattern.test(text)) return undefined
  const [epoch = '', id] = text.split('-')
  return { epoch, id: Number(id) }
}
