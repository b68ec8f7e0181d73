// Listening, and what to tell an operator when that is refused.

export interface ListenAddress {
  host: string
  port: number
}

/** By error code. */
const advice: Readonly<Record<string, (address: ListenAddress) => string>> = {
  EADDRINUSE: ({ port }) =>
    `port ${port} is taken by another program: stop that one, or set PORT to another (PORT=0 takes any free one)`,
  EACCES: ({ port }) =>
    `port ${port} may not be used without special rights: set PORT to one above 1023`,
  EADDRNOTAVAIL: ({ host }) =>
    `${host} is not an address of this machine: set HOST to one that is, or to 0.0.0.0 for all of them`,
  ENOTFOUND: ({ host }) =>
    `there is no host ${host}: set HOST to an address of this machine, or to 0.0.0.0 for all of them`,
}

/** Waits for `listening`; what it rejects with becomes an Error for the operator. */
export async function orExplain<T>(listening: Promise<T>, address: ListenAddress): Promise<T> {
  try {
    return await listening
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    const hint = advice[code]
    if (!hint) throw error
    throw new Error(`cannot listen on ${placeOf(address)} (${code}): ${hint(address)}`, {
      cause: error,
    })
  }
}

function placeOf({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
