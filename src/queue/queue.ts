// The doorbell: it carries job ids and wakes workers, and is never the truth. Whatever it loses or
// repeats, the ledger knows better, and the announcer rings again.

/** What became of a bell. */
export type Answer =
  /** Its job was claimed, refused or put off: the ledger has it from here. */
  | 'heard'
  /** The ledger has no job of this id. */
  | 'unknown'
  /** The message asks for a job to run again that is of a kind nobody here knows. */
  | 'foreign'
  /** Nobody could look: the process is stopping, or the ledger is away. */
  | 'unheard'

/**
 * Answers a bell. `death` is there when the bell is the message of a dead job that was put back: it
 * asks for the job to run again, if that was its last death.
 */
export type BellHandler = (jobId: string, death?: string) => Promise<Answer>

/** A dead job, as operators find it in the broker. */
export interface DeadLetter {
  jobId: string
  /** One for each time that the job died. */
  death: string
  /** Why, after how many attempts, and what the job was for: `code`, `attempts`, `image_id` … */
  details: Readonly<Record<string, string | number>>
}

/** By name: how much lies in the queue, how many listen. */
export type QueueFigures = Readonly<Record<string, number>>

/** Carries job ids from the process that announces a job to one that will run it. */
export interface Queue extends AsyncDisposable {
  /**
   * Announces jobs; resolves once the queue has taken responsibility, throws `unavailable` when it did not.
   * At-least-once: an id may be delivered again, or twice.
   */
  announce(jobIds: readonly string[]): Promise<void>
  /**
   * Puts dead jobs where operators look for them; resolves and throws as `announce` does, and like it may repeat.
   * Absent where the ledger is the only place there is.
   */
  bury?(letters: readonly DeadLetter[]): Promise<void>
  /**
   * Calls `handler` for each announced id, with at most `concurrency` calls under way. The bell is
   * acknowledged when the handler resolves: when the job was claimed or refused, not when its work
   * is done; a handler that rejects is logged, and its bell is lost. Survives outages by itself. Resolves
   * once `signal` aborted and all calls settled; never rejects.
   */
  listen(handler: BellHandler, options: { concurrency: number; signal: AbortSignal }): Promise<void>
  /** Resolves when bells and dead jobs are taken; throws `unavailable` otherwise. */
  ping(): Promise<QueueFigures | undefined>
}
