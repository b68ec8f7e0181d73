// Signed URLs without waiting for anything: what the SDK's providers give is at hand before it is asked
// for, and renewed before it ends.

import { createHash } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import { createPresign, type S3Credentials } from './s3-presign.ts'
import type { UrlSigner } from './storage.ts'

export interface SignerOptions {
  client: S3Client
  region: string
  /** A file's URL is this and its key. */
  urlPrefix: string
  /** For how long a URL lives from the start of the period in which it was made. */
  lifetimeMs: number
}

interface Held extends S3Credentials {
  readonly expiration?: Date | undefined
}

/** The SDK fetches new credentials from five minutes before their end on. */
const RENEW_BEFORE_MS = 4 * 60_000
const RETRY_MS = 10_000
const MINUTE_MS = 60_000
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** Throws what the SDK throws when there are no credentials. */
export async function openSigner(options: SignerOptions): Promise<UrlSigner & Disposable> {
  const { client, region, urlPrefix, lifetimeMs } = options
  const periodMs = Math.floor(lifetimeMs / 2_000) * 1_000
  const lifetimeSeconds = Math.floor(lifetimeMs / 1_000)
  // The SDK notices when this machine's clock is wrong, to the second; periods must not move with every
  // answer, and S3 allows minutes.
  const offset = () => Math.round(client.config.systemClockOffset / MINUTE_MS) * MINUTE_MS
  const periodStart = () => Math.floor((Date.now() + offset()) / periodMs) * periodMs

  let held: Held = await client.config.credentials()
  let current: { signedAt: number; id: string; presign: (url: string) => string } | undefined
  const now = () => {
    const signedAt = periodStart()
    if (current?.signedAt !== signedAt) {
      const presign = createPresign({ credentials: held, region, signedAt, lifetimeSeconds })
      current = { signedAt, id: idOf(held, signedAt), presign }
    }
    return current
  }
  let timer: NodeJS.Timeout | undefined
  const renewLater = (afterMs: number) => {
    timer = setTimeout(renew, Math.min(Math.max(afterMs, RETRY_MS), LONGEST_TIMER_MS)).unref()
  }
  const untilRenewal = ({ expiration }: Held) =>
    expiration && expiration.getTime() - Date.now() - offset() - RENEW_BEFORE_MS
  const renew = () => {
    client.config.credentials().then(
      (fresh) => {
        if (timer === undefined) return
        held = fresh
        current = undefined
        renewLater(untilRenewal(held) ?? LONGEST_TIMER_MS)
      },
      // Every other call fails of it as well, and says so.
      () => timer !== undefined && renewLater(RETRY_MS),
    )
  }
  const firstRenewal = untilRenewal(held)
  if (firstRenewal !== undefined) renewLater(firstRenewal)

  return {
    form: `${region} ${lifetimeMs}`,
    sign: (key) => now().presign(urlPrefix + key),
    periodId: () => now().id,
    // With temporary credentials a URL lives no longer than they do.
    periodEnd: () =>
      Math.min(periodStart() + periodMs, held.expiration?.getTime() ?? Number.POSITIVE_INFINITY) -
      offset(),
    [Symbol.dispose]: () => {
      clearTimeout(timer)
      timer = undefined
    },
  }
}

function idOf({ accessKeyId, sessionToken }: S3Credentials, signedAt: number): string {
  return createHash('sha256')
    .update(JSON.stringify([signedAt, accessKeyId, sessionToken]))
    .digest('base64url')
    .slice(0, 8)
}
