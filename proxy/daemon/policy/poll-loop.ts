// When the host is polled: at an interval, and sooner when woken. Measures how long the loop has hung, so that a status
// never says that a dead loop runs.

/** Least time between the starts of two polls: any user on the VM may wake the loop. */
const LEAST_INTERVAL_MS = 1_000;
/** One turn is three calls of at most 10 s and the compilation of rules; no turn takes this long by itself. */
const STALLED_MS = 90_000;

export interface PollLoopPorts {
  /** One turn, which must not reject; gets the time when it began. */
  readonly poll: (startedMs: number) => Promise<void>;
  /** From the end of a turn to the next one. */
  readonly intervalMs: () => number;
  readonly monotonicMs: () => number;
}

export interface PollLoop {
  start(): void;
  /** A turn that begins after this call comes soon. */
  wake(): void;
  stop(): void;
  /** How long ago a turn should have begun or ended; 0 while the loop turns as it should. */
  stalledMs(): number;
}

export function makePollLoop({ poll, intervalMs, monotonicMs }: PollLoopPorts): PollLoop {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let startedMs = Number.NEGATIVE_INFINITY;
  let dueMs: number | undefined;
  let isPolling = false;
  let isWanted = false;
  let stopped = false;

  function schedule(delayMs: number): void {
    if (stopped) return;
    clearTimeout(timer);
    dueMs = monotonicMs() + delayMs;
    timer = setTimeout(() => void turn(), delayMs);
  }

  async function turn(): Promise<void> {
    isPolling = true;
    isWanted = false;
    startedMs = monotonicMs();
    try {
      await poll(startedMs);
    } finally {
      isPolling = false;
      schedule(isWanted ? soonMs() : intervalMs());
    }
  }

  function soonMs(): number {
    return Math.max(0, startedMs + LEAST_INTERVAL_MS - monotonicMs());
  }

  return {
    start: () => void turn(),
    wake() {
      isWanted = true;
      if (!isPolling && dueMs !== undefined && monotonicMs() + soonMs() < dueMs) schedule(soonMs());
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
    stalledMs() {
      if (stopped) return 0;
      const expectedMs = isPolling ? startedMs : dueMs;
      const lateMs = expectedMs === undefined ? 0 : monotonicMs() - expectedMs;
      return lateMs >= STALLED_MS ? lateMs : 0;
    },
  };
}
