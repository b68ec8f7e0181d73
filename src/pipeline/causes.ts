// Why something failed, for the log: the messages down the chain of causes. Some were written by strangers,
// or have a URL in them; whoever reads logs is to learn neither its credentials nor its query.

const MOST_CAUSES = 8
const MOST_CHARACTERS = 500

/** What lies below an error, the nearest first: `ECONNRESET: read ECONNRESET`. */
export function causesOf(error: Error): string[] {
  const causes: string[] = []
  let cause = error.cause
  while (cause !== undefined && causes.length < MOST_CAUSES) {
    causes.push(describe(cause))
    cause = cause instanceof Error ? cause.cause : undefined
  }
  return causes
}

/** Without the credentials and queries of URLs. */
export function withoutSecrets(text: string): string {
  return text.replace(/\/\/[^\s/@]*@/g, '//').replace(/\?[^\s"'`)]+/g, '?…')
}

function describe(cause: unknown): string {
  const text = cause instanceof Error ? `${nameOf(cause)}: ${cause.message}` : String(cause)
  return withoutSecrets(text)
    .replace(/\p{Cc}+/gu, ' ')
    .slice(0, MOST_CHARACTERS)
}

function nameOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
