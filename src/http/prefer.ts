// `Prefer` (RFC 7240): wishes of a client. One that is unknown or makes no sense is ignored, never refused.

/** Longer than most pictures take, shorter than what proxies allow an answer. */
export const MAX_WAIT_SECONDS = 30

/** `name`, or `name=value` with a token or a quoted text, and parameters that we have no use for. */
const PREFERENCE =
  /(?:^|,)\s*([\w!#$%&'*+.^`|~-]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^\s",;]*))?[^,"]*(?:"(?:[^"\\]|\\.)*"[^,"]*)*/g

/**
 * The whole seconds that the client will wait for its pictures, at most MAX_WAIT_SECONDS: a server may
 * always answer earlier. Undefined when it does not ask, or not in seconds. The first `wait` counts.
 */
export function preferredWait(header: string | string[] | undefined): number | undefined {
  const text = [header ?? ''].flat().join(',')
  for (const [, name, value = ''] of text.matchAll(PREFERENCE)) {
    if (name?.toLowerCase() !== 'wait') continue
    const [, seconds] = /^"?(\d+)"?$/.exec(value) ?? []
    return seconds === undefined ? undefined : Math.min(Number(seconds), MAX_WAIT_SECONDS)
  }
  return undefined
}
