// A guarded client for tests: it admits 127.0.0.1, where test origins listen, and takes names from a
// table instead of asking anybody.

import { createAddressPolicy } from '../../src/outbound/address-policy.ts'
import { type Outbound, type OutboundOptions, openOutbound } from '../../src/outbound/outbound.ts'

export interface TestOutboundOptions extends Partial<OutboundOptions> {
  /** Addresses by name; any other name does not exist. */
  names?: Readonly<Record<string, readonly string[]>>
}

export function openTestOutbound({ names = {}, ...options }: TestOutboundOptions = {}): Outbound {
  return openOutbound({
    policy: testPolicy,
    version: '0.0.0-test',
    connectTimeoutMs: 2_000,
    maxRedirects: 3,
    perOrigin: 4,
    lookup: async (host) => names[host] ?? Promise.reject(noSuchName()),
    ...options,
  })
}

export const testPolicy = createAddressPolicy({
  allow: ['127.0.0.1/32'],
  ports: [
    { from: 80, to: 80 },
    { from: 443, to: 443 },
    { from: 1_024, to: 65_535 },
  ],
})

/** What a resolver rejects with for a name that does not exist. */
export function noSuchName(): Error {
  return Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })
}
