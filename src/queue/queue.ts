// The doorbell: it carries job ids and wakes workers, and is never the truth. Whatever it loses or
// repeats, the ledger knows better, and the announcer rings again.

/** Carries job ids from the process that announces a job to one that will run it. */
export interface Queue extends AsyncDisposable {
  /** Announces jobs; resolves once the queue has taken responsibility. At-least-once: an id may be delivered again, or twice. */
  announce(jobIds: readonly string[]): Promise<void>
  /**
   * Calls `handler` for each announced id, with at most `concurrency` calls under way. The bell is
   * acknowledged when the handler resolves: when the job was claimed or refused, not when its work
   * is done; a handler that rejects is logged, and its bell is lost. Survives outages by itself. Resolves once `signal` aborted and all calls settled; never rejects.
   */
  listen(
    handler: (jobId: string) => Promise<void>,
    options: { concurrency: number; signal: AbortSignal },
  ): Promise<void>
  /** Resolves when announcements can be taken; throws `unavailable` otherwise. */
  ping(): Promise<void>
}
