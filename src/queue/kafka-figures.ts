// How things stand in Kafka: how far those who listen are behind, how many they are, what lies with the dead.

import { type Admin, ListOffsetTimestamps } from '@platformatic/kafka'
import { deadOf, type Topology } from './kafka-topology.ts'
import type { QueueFigures } from './queue.ts'

/** Offsets by topic and partition: `topic/3`. */
type Offsets = ReadonlyMap<string, bigint>

export async function figuresOf(admin: Admin, topology: Topology): Promise<QueueFigures> {
  const { topic, group } = topology
  const dead = deadOf(topology)
  const [first, end, committed, groups] = await Promise.all([
    listOffsets(admin, [topic, dead], ListOffsetTimestamps.EARLIEST),
    listOffsets(admin, [topic, dead], ListOffsetTimestamps.LATEST),
    listCommitted(admin, group),
    admin.describeGroups({ groups: [group] }),
  ])
  const records = (name: string, from: (key: string) => bigint) =>
    [...end]
      .filter(([key]) => key.startsWith(`${name}/`))
      .reduce((sum, [key, offset]) => sum + Number(offset - from(key)), 0)
  const start = (key: string) => first.get(key) ?? 0n
  return {
    // A group begins with the oldest record of a partition in which it has not been yet.
    lag: records(topic, (key) => max(committed.get(key) ?? 0n, start(key))),
    listeners: groups.get(group)?.members.size ?? 0,
    dead_letters: records(dead, start),
  }
}

async function listOffsets(admin: Admin, names: string[], timestamp: bigint): Promise<Offsets> {
  const metadata = await admin.metadata({ topics: names })
  const topics = names.map((name) => ({
    name,
    partitions: (metadata.topics.get(name)?.partitions ?? []).map((_, partitionIndex) => ({
      partitionIndex,
      timestamp,
    })),
  }))
  const listed = await admin.listOffsets({ topics })
  return new Map(
    listed.flatMap(({ name, partitions }) =>
      partitions.map(({ partitionIndex, offset }) => [`${name}/${partitionIndex}`, offset]),
    ),
  )
}

/** Without the partitions in which the group has not been yet. */
async function listCommitted(admin: Admin, group: string): Promise<Offsets> {
  const groups = await admin.listConsumerGroupOffsets({ groups: [group] })
  return new Map(
    groups.flatMap(({ topics }) =>
      topics.flatMap(({ name, partitions }) =>
        partitions.map(({ partitionIndex, committedOffset }) => [
          `${name}/${partitionIndex}`,
          committedOffset,
        ]),
      ),
    ),
  )
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
