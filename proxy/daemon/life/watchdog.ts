// Proves that the agent serves, and only then notifies the service manager: the listener must answer a real connection,
// and the poll loop must not hang. A timer that merely fires would prove nothing.

import type { Log } from "../../core/ports.ts";
import type { StatusPart } from "../../core/status/status-part.ts";

export interface WatchdogPorts {
  /** Connects to our own listener and sends a request; false when nothing came back in time. */
  readonly probe: () => Promise<boolean>;
  readonly isLoopStalled: () => boolean;
  /** `WATCHDOG=1`. */
  readonly alive: () => void;
  readonly log: Log;
  readonly changed: () => void;
  readonly monotonicMs: () => number;
}

export interface Watchdog {
  readonly part: StatusPart;
  /** From now on it checks by itself; before, nothing does. */
  start(): void;
  /** One look; it comes by itself. */
  look(): Promise<void>;
  /** The agent is awake anyway: a check that is due soon runs now, and the timer sleeps on. */
  afterPoll(): void;
  stop(): void;
}

/** Without a service manager that wants to know, still for the status. */
const DEFAULT_EVERY_MS = 60_000;
/** A check may run this much sooner than it must. */
const EARLY = 0.7;

/** @param watchdogMs - after so long without a sign of life the service manager restarts us */
export function makeWatchdog(watchdogMs: number | undefined, message: string, ports: WatchdogPorts): Watchdog {
  let problem = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  let lookedMs = ports.monotonicMs();
  let running = false;
  const everyMs = watchdogMs === undefined ? DEFAULT_EVERY_MS : Math.min(DEFAULT_EVERY_MS, watchdogMs / 2);

  function schedule(): void {
    clearTimeout(timer);
    if (running) timer = setTimeout(() => void look(), everyMs);
  }

  async function look(): Promise<void> {
    lookedMs = ports.monotonicMs();
    schedule();
    const answered = await ports.probe();
    const hangs = ports.isLoopStalled() ? "the loop that follows the host hangs" : "";
    const found = answered ? hangs : "the listener does not answer a connection";
    if (found === "") ports.alive();
    if (found === problem) return;
    problem = found;
    if (found === "") ports.log.info("agent-alive", {});
    else ports.log.error("agent-hangs", { message: found });
    ports.changed();
  }

  return {
    start() {
      running = true;
      lookedMs = ports.monotonicMs();
      schedule();
    },
    look,
    afterPoll() {
      if (running && ports.monotonicMs() - lookedMs >= everyMs * EARLY) void look();
    },
    stop() {
      running = false;
      clearTimeout(timer);
    },
    part: {
      name: "liveness",
      module: "proxyListenerStatus",
      report: () => ({ health: problem === "" ? "ok" : "failed", message: problem === "" ? message : problem, details: undefined }),
    },
  };
}
