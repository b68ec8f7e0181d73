// How far each partition has been answered. Records are answered in any order, and a group keeps one offset
// for each partition: the one before which nothing is open any more.

export interface Move {
  partition: number
  /** Of the record to go on with. */
  offset: bigint
  /** The group has it. */
  confirm(): void
}

export interface Positions {
  /**
   * The partitions of a generation of the group. Those that were had in the one before have been nobody
   * else's, so they go on where they are; others begin with what is delivered first. Throws in a group that was
   * made anew, which counts from the start: it has none of these positions, and what was fetched may be of either.
   */
  assign(generation: number, partitions: readonly number[]): void
  /**
   * A record is being answered; what is returned says that it was. Undefined for what has been begun before,
   * for partitions that are somebody else's, and for what was fetched before they were ours the last time:
   * there is nothing to do about it.
   */
  begin(record: FetchedRecord): (() => void) | undefined
  /** The positions that the group does not have. */
  moves(): Move[]
}

export interface FetchedRecord {
  partition: number
  offset: bigint
  /** In which it was fetched. */
  generation: number
}

interface PartitionPosition {
  /** The generation from which on the partition has been ours. */
  since: number
  /** In ascending order, because they are begun in that order. */
  open: Set<bigint>
  /** Undefined before anything was delivered. */
  next?: bigint
  confirmed?: bigint
}

export function createPositions(): Positions {
  let current = Number.NaN
  let positions = new Map<number, PartitionPosition>()
  return {
    assign: (generation, partitions) => {
      if (generation < current) throw new Error('The group was made anew.')
      const kept = generation <= current + 1 ? positions : undefined
      const positionOf = (partition: number): PartitionPosition =>
        kept?.get(partition) ?? { since: generation, open: new Set() }
      positions = new Map(partitions.map((partition) => [partition, positionOf(partition)]))
      current = generation
    },
    begin: ({ partition, offset, generation }) => {
      const position = positions.get(partition)
      if (!position || generation < position.since || offset < (position.next ?? 0n))
        return undefined
      position.confirmed ??= offset
      position.open.add(offset)
      position.next = offset + 1n
      return () => void position.open.delete(offset)
    },
    moves: () =>
      [...positions].flatMap(([partition, position]) => {
        const [offset = position.next] = position.open
        if (offset === undefined || offset === position.confirmed) return []
        const confirm = () => {
          position.confirmed = offset
        }
        return [{ partition, offset, confirm }]
      }),
  }
}
