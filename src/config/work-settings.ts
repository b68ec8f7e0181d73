// The settings of background work: the ledger's times, the worker's width, and every bound on what
// pictures and their origins may cost.

import type { SettingTable } from './setting.ts'
import { duration, integer, networks, ports, size } from './value-types.ts'

const MiB = 1024 ** 2
const HOUR_MS = 60 * 60 * 1_000
const YEAR_MS = 365 * 24 * HOUR_MS

export const jobSettings = {
  JOB_MAX_ATTEMPTS: {
    type: integer({ min: 1, max: 100 }),
    default: '8',
    unit: 'attempts',
    description: 'Attempts before a picture has failed. Some causes allow fewer.',
  },
  JOB_TIMEOUT: {
    type: duration({ min: 1_000 }),
    default: '120s',
    description:
      'The time for one attempt, download and rendering included. Waiting for a connection or a child process is not counted.',
  },
  JOB_LEASE: {
    type: duration({ min: 1_000 }),
    default: '20s',
    description: 'How long a job belongs to a worker that has gone silent.',
  },
  JOB_HEARTBEAT: {
    type: duration({ min: 100 }),
    default: '5s',
    description: 'How often a worker extends its leases; at most half of `JOB_LEASE`.',
  },
  JOB_RING_AGAIN: {
    type: duration({ min: 1_000 }),
    default: '15s',
    description: 'After what time a job that no worker took is announced again.',
  },
  JOB_WINDOW: {
    type: integer({ min: 1, max: 100_000 }),
    default: '1000',
    unit: 'jobs',
    description: 'Jobs at most that are announced and not taken yet.',
  },
  JOB_MAX_AGE: {
    type: duration({ min: 1_000, max: YEAR_MS }),
    default: '24h',
    description: 'The age at which a job is given up, whatever attempts it has left.',
  },
  JOBS_KEEP_DONE: {
    type: duration({ min: 1_000, max: 10 * YEAR_MS }),
    default: '7d',
    description: 'How long finished jobs are kept.',
  },
} as const satisfies SettingTable

export const workerSettings = {
  WORKER_PORT: {
    type: integer({ min: 0, max: 65_535 }),
    default: '8090',
    description:
      'The port on which a process with the role `worker` answers `/livez`, `/readyz`, `/health` and `/health/<dependency>`, and nothing else of the API; `0` takes any free one. Several workers on one machine need one each.',
  },
  WORKER_CONCURRENCY: {
    type: integer({ min: 1, max: 10_000 }),
    default: '32',
    unit: 'jobs',
    description: 'Jobs in flight at most, in each process.',
  },
  WORKER_PER_HOST: {
    type: integer({ min: 1, max: 10_000 }),
    default: '4',
    unit: 'jobs',
    description:
      'Jobs in flight at most for one origin host, so that a slow one does not block the others.',
  },
  WORKER_RENDER_PROCESSES: {
    type: integer({ min: 1, max: 1_024 }),
    derived: 'the number of processors',
    unit: 'processes',
    description: 'Child processes that decode and render pictures.',
  },
} as const satisfies SettingTable

export const outboundSettings = {
  OUTBOUND_ALLOW: {
    type: networks,
    description:
      'Networks beside the public internet from which pictures may be downloaded, such as `10.20.0.0/16,fd12::/48`. Everything private is refused without it.',
  },
  OUTBOUND_PORTS: {
    type: ports,
    default: '80,443,1024-65535',
    description: 'Ports from which pictures may be downloaded.',
  },
  OUTBOUND_CONNECT_TIMEOUT: {
    type: duration({ min: 100 }),
    default: '5s',
    description: 'The time to connect to an origin.',
  },
  OUTBOUND_TIMEOUT: {
    type: duration({ min: 100 }),
    default: '30s',
    description: 'The time for one download, redirects included.',
  },
  OUTBOUND_MAX_SIZE: {
    type: size({ min: 1_024, max: 1024 * MiB }),
    default: '25MiB',
    description: 'The largest file that is downloaded.',
  },
  OUTBOUND_MAX_REDIRECTS: {
    type: integer({ min: 0, max: 20 }),
    default: '3',
    unit: 'redirects',
    description: 'Redirects that are followed in one download.',
  },
} as const satisfies SettingTable

export const pictureSettings = {
  PICTURE_MAX_PIXELS: {
    type: integer({ min: 1, max: 1_000_000_000 }),
    default: '100000000',
    unit: 'pixels',
    description: 'The largest area of a picture.',
  },
  PICTURE_MAX_SIDE: {
    type: integer({ min: 1, max: 65_535 }),
    default: '16384',
    unit: 'pixels',
    description: 'The longest side of a picture.',
  },
  PICTURE_MAX_FRAMES: {
    type: integer({ min: 1, max: 100_000 }),
    default: '500',
    unit: 'frames',
    description: 'Frames of an animated picture.',
  },
  PICTURE_DECODE_MEMORY: {
    type: size({ min: 16 * MiB, max: 64 * 1024 * MiB }),
    default: '512MiB',
    description: 'Memory that decoding a picture may need, as estimated from its header.',
  },
  PICTURE_CHILD_MEMORY: {
    type: size({ min: 128 * MiB, max: 64 * 1024 * MiB }),
    default: '768MiB',
    description:
      'Memory at which a child process is stopped; at least 64MiB above `PICTURE_DECODE_MEMORY`, for the child itself.',
  },
  PICTURE_RENDER_TIMEOUT: {
    type: duration({ min: 100 }),
    default: '30s',
    description: 'The time for decoding and rendering one picture.',
  },
} as const satisfies SettingTable

export const eventSettings = {
  EVENTS_KEEP: {
    // Longer than any transaction that writes events.
    type: duration({ min: HOUR_MS, max: 10 * YEAR_MS }),
    default: '7d',
    description:
      'How long the log of events is kept: for so long a client may stay away and still go on where it was.',
  },
  EVENTS_MAX_STREAMS: {
    type: integer({ min: 0, max: 1_000_000 }),
    default: '10000',
    unit: 'streams',
    description: 'Open streams of events at most, in each process.',
  },
} as const satisfies SettingTable
