// Listening, and what to tell an operator when that is refused.

export interface ListenAddress {
  host: string
  port: number
  /** The name of the setting that the port comes from. */
  setting: string
}

/** By error code. */
const advice: Readonly<Record<string, (address: ListenAddress) => string>> = {
  EADDRINUSE: ({ port, setting }) =>
    `port ${port} is taken by another program: stop that one, or set ${setting} to another (${setting}=0 takes any free one)`,
  EACCES: ({ port, setting }) =>
    `port ${port} may not be used without special rights: set ${setting} to one above 1023`,
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
