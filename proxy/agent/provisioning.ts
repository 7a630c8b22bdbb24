// Has the agent finished coming up? Three things must hold: the redirect programs are in place, the listener is bound, and the key is
// latched or not needed. Boot tools ask this through /provision and hang a deployment on the answer, so it comes to an end either way:
// with all three, or after two minutes with the reason.

import { cutMessage } from "../core/status.ts";

/** From the start, from a notify that starts it anew, or from the loss of readiness. */
const LIMIT_MS = 120_000;

export interface KeyReadiness {
  /** The key is latched, or the platform wants none. */
  readonly ready: boolean;
  /** `Unknown`, `disabled`, or an enabled channel's text. */
  readonly stateText: string;
  readonly message: string;
}

export interface ProvisioningPorts {
  /** All times inside; the wall clock may jump by hours. */
  readonly monotonicMs: () => number;
  /** Only to compare with the ticks that others send. */
  readonly epochMs: () => number;
  /** Runs it once after so many ms of the monotonic clock; the function returned cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
  /** Asks the host for new orders soon. */
  readonly wake: () => void;
  /** Came to an end; the error text is empty when all is ready. */
  readonly finished: (errorText: string) => void;
}

export interface Provisioning {
  setRedirector(ready: boolean, message: string): void;
  setListener(ready: boolean, message: string): void;
  setKey(key: KeyReadiness): void;
  /** The host has answered a question that was asked at this monotonic ms. */
  hostAnswered(askedMs: number): void;
  /** Somebody wants to know anew. What stands on a channel that is unknown or disabled counts only after the host's next answer. */
  notify(): void;
  /** @param tick - nanoseconds since 1970: finished at or after then? On an enabled channel any end counts. */
  isFinished(tick: bigint): boolean;
  /** All three hold now. */
  isReady(): boolean;
  /** One line for each part that is not ready, each ending in CR LF as the platform's tools expect; empty when all are. */
  errorText(): string;
  stop(): void;
}

export function makeProvisioning(ports: ProvisioningPorts): Provisioning {
  const unknown = { ready: false, message: "Status unknown." };
  let redirector = unknown;
  let listener = unknown;
  let key: KeyReadiness = { ...unknown, stateText: "Unknown" };
  let answeredMs = Number.NEGATIVE_INFINITY;
  /** Answers to questions from before then do not count. */
  let countsFromMs = Number.NEGATIVE_INFINITY;
  let finishedMs: number | undefined;
  let cancel = ports.after(LIMIT_MS, timeOut);

  const isKeyReady = () => key.ready && (isEnabled() || answeredMs >= countsFromMs);
  const isEnabled = () => key.stateText !== "Unknown" && key.stateText !== "disabled";
  const isReady = () => redirector.ready && listener.ready && isKeyReady();

  /** After every change: an end is reached when all became ready, and left when that was lost. */
  function settle(wasReady: boolean): void {
    const ready = isReady();
    if (ready === wasReady) return;
    cancel();
    if (ready) finish();
    else begin();
  }
  function begin(): void {
    finishedMs = undefined;
    cancel();
    cancel = ports.after(LIMIT_MS, timeOut);
  }
  function finish(): void {
    finishedMs = ports.monotonicMs();
    ports.finished(errorText());
  }
  function timeOut(): void {
    if (!isReady()) finish();
  }
  function errorText(): string {
    const asking = key.ready ? "the host is being asked anew" : key.message;
    const lines = [
      ["ebpfProgramStatus", redirector.ready, redirector.message],
      ["keyLatchStatus", isKeyReady(), asking],
      ["proxyListenerStatus", listener.ready, listener.message],
    ] as const;
    return lines.map(([name, ready, message]) => (ready ? "" : `${name} - ${cutMessage(message)}\r\n`)).join("");
  }

  return {
    setRedirector(ready, message) {
      const before = isReady();
      redirector = { ready, message };
      settle(before);
    },
    setListener(ready, message) {
      const before = isReady();
      listener = { ready, message };
      settle(before);
    },
    setKey(next) {
      const before = isReady();
      key = next;
      settle(before);
    },
    hostAnswered(askedMs) {
      const before = isReady();
      answeredMs = askedMs;
      settle(before);
    },
    notify() {
      if (!isEnabled()) {
        countsFromMs = ports.monotonicMs();
        begin();
      }
      ports.wake();
    },
    isFinished(tick) {
      if (finishedMs === undefined) return false;
      // On the wall clock as it goes now: had it jumped since, an asker's clock has jumped by as much.
      const finishTick = BigInt(Math.floor(ports.epochMs() - (ports.monotonicMs() - finishedMs))) * 1_000_000n;
      return finishTick >= tick || isEnabled();
    },
    isReady,
    errorText,
    stop: () => cancel(),
  };
}
