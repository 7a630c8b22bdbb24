// Provisioning: three things must hold: the redirect programs are in place, the listener is bound, and the key is latched or not
// needed. Boot tools query this through /provision and block a deployment on the answer, so it ends either way:
// with all three, or after two minutes with the reason.
// INVARIANT: a query changes nothing here. Any user on the VM may send one, so ticks are compared and never kept, and a notify only
// wakes the poll loop: no caller can restart a limit or change another one's answer.

import { cutMessage } from "../../core/status/status.ts";

/** From the start, or from the loss of readiness. */
const LIMIT_MS = 120_000;
/**
 * How long an error is not reported to a caller that started after the agent: the host may answer in that time. Less than
 * the 120 s that cloud-init waits, so that it gets the error and its exit code.
 */
const CALLER_LIMIT_MS = 110_000;

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
  /** Makes the poll loop poll soon. May be called at any rate; the loop bounds that. */
  readonly wake: () => void;
  /** Came to an end; the error text is empty when all is ready. */
  readonly finished: (errorText: string) => void;
}

export interface Provisioning {
  setRedirector(ready: boolean, message: string): void;
  setListener(ready: boolean, message: string): void;
  setKey(key: KeyReadiness): void;
  /** The host has answered a poll that began at this monotonic ms. */
  hostAnswered(askedMs: number): void;
  /** A caller wants the host polled now rather than at the end of the interval. Nothing else. */
  notify(): void;
  /**
   * @param tick - nanoseconds since 1970: finished at or after then? On an enabled channel any end counts. On a disabled one the host
   *   must have been polled after the tick: the VM may have got an owner since.
   */
  isFinished(tick: bigint): boolean;
  /** All three hold now. */
  isReady(): boolean;
  /** One line for each part that keeps this tick from being finished, each ending in CR LF as the platform's tools expect. */
  errorText(tick: bigint): string;
  stop(): void;
}

export function makeProvisioning(ports: ProvisioningPorts): Provisioning {
  const unknown = { ready: false, message: "Status unknown." };
  let redirector = unknown;
  let listener = unknown;
  let key: KeyReadiness = { ...unknown, stateText: "Unknown" };
  let answeredMs = Number.NEGATIVE_INFINITY;
  let finishedMs: number | undefined;
  let cancel = ports.after(LIMIT_MS, timeOut);

  const isEnabled = () => key.stateText !== "Unknown" && key.stateText !== "disabled";
  const isReady = () => redirector.ready && listener.ready && key.ready;

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
    ports.finished(partsText());
  }
  function timeOut(): void {
    if (!isReady()) finish();
  }
  /** Up to which tick the present end counts for callers; undefined while there is none. */
  function endMs(): number | undefined {
    if (finishedMs === undefined) return undefined;
    return isReady() ? Math.max(finishedMs, answeredMs) : ports.monotonicMs() - CALLER_LIMIT_MS;
  }
  function isFinished(tick: bigint): boolean {
    const end = endMs();
    if (end === undefined) return false;
    // On the wall clock as it goes now: had it jumped since, a caller's clock has jumped by as much.
    const endTick = BigInt(Math.floor(ports.epochMs() - (ports.monotonicMs() - end))) * 1_000_000n;
    return endTick >= tick || isEnabled();
  }
  function partsText(): string {
    const lines = [
      ["ebpfProgramStatus", redirector],
      ["keyLatchStatus", key],
      ["proxyListenerStatus", listener],
    ] as const;
    return lines.map(([name, { ready, message }]) => (ready ? "" : errorLine(name, message))).join("");
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
      answeredMs = Math.max(answeredMs, askedMs);
    },
    notify: () => ports.wake(),
    isFinished,
    isReady,
    errorText(tick) {
      if (!isReady()) return partsText();
      return isFinished(tick) ? "" : errorLine("keyLatchStatus", `the host is being asked anew, last: ${key.message}`);
    },
    stop: () => cancel(),
  };
}

function errorLine(part: string, message: string): string {
  return `${part} - ${cutMessage(message.trim() === "" ? "not ready, and nothing says why" : message)}\r\n`;
}
