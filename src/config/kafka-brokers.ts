// KAFKA_BROKERS, taken apart by the strict rules of all addresses: an odd spelling is refused, not guessed at.

import { withoutBrackets } from './url-parts.ts'
import { host as hostType, isOneLine, parseList, type ValueType } from './value-types.ts'

export interface KafkaBroker {
  readonly host: string
  readonly port: number
}

const KAFKA_PORT = 9092

/** `a:9092,b:9092`; `kafka://` may stand before the first or before each. */
export const kafkaBrokers: ValueType<readonly KafkaBroker[]> = {
  name: 'brokers',
  collection: 'list',
  expects:
    'a list of brokers such as kafka1:9092,kafka2:9092, with kafka:// before them or without, and without a user, password or path',
  parse: (value) => (isOneLine(value) ? parseList(value, parseBroker) : undefined),
}

function parseBroker(text: string): KafkaBroker | undefined {
  const address = text.replace(/^kafka:\/\//i, '')
  const url = /^[^/@?#\s]+$/.test(address) ? URL.parse(`kafka://${address}`) : null
  const host = hostType.parse(withoutBrackets(url?.hostname ?? ''))
  if (!url || host === undefined || url.port === '0') return undefined
  return { host, port: url.port ? Number(url.port) : KAFKA_PORT }
}
