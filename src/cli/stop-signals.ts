// What an operator's signals mean: the first asks the process to stop cleanly, the second ends it.

/** Under npm one Ctrl-C arrives twice: from the terminal, and passed on by npm. */
const SAME_SIGNAL_MS = 500

/** Aborted by the first SIGTERM or SIGINT. A second one exits at once. */
export function stopSignal(): AbortSignal {
  const stopping = new AbortController()
  let firstAt = 0
  const stop = (name: NodeJS.Signals) => {
    if (!stopping.signal.aborted) {
      firstAt = performance.now()
      stopping.abort(new Error(`stopped by ${name}`))
    } else if (performance.now() - firstAt > SAME_SIGNAL_MS) process.exit(1)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  return stopping.signal
}
