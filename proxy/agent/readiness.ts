// Is the agent ready to be relied on? Three things must hold: the redirect programs are in place, the listener is bound, and the
// key is latched or not needed. Provisioning tools ask this through /provision.

export interface Readiness {
  setRedirector(ready: boolean, message: string): void;
  setListener(ready: boolean, message: string): void;
  setKey(ready: boolean, message: string): void;
  /** One line per part that is not ready, each ending in CR LF as the platform's tools expect; empty when all are. */
  errorMessage(): string;
  ready(): boolean;
  /** Nanoseconds since 1970 of the moment all became ready last; 0 while not. */
  finishTick(): bigint;
}

interface Part {
  readonly ready: boolean;
  readonly message: string;
}

export function makeReadiness(nowMs: () => number): Readiness {
  const starting: Part = { ready: false, message: "Status unknown." };
  let redirector = starting;
  let key = starting;
  let listener = starting;
  let finishTick = 0n;

  function settle(): void {
    const all = redirector.ready && key.ready && listener.ready;
    if (all && finishTick === 0n) finishTick = BigInt(Math.round(nowMs())) * 1_000_000n;
    if (!all) finishTick = 0n;
  }

  return {
    setRedirector(ready, message) {
      redirector = { ready, message };
      settle();
    },
    setListener(ready, message) {
      listener = { ready, message };
      settle();
    },
    setKey(ready, message) {
      key = { ready, message };
      settle();
    },
    errorMessage() {
      const named = [
        ["ebpfProgramStatus", redirector],
        ["keyLatchStatus", key],
        ["proxyListenerStatus", listener],
      ] as const;
      return named.map(([name, part]) => (part.ready ? "" : `${name} - ${part.message}\r\n`)).join("");
    },
    ready: () => redirector.ready && key.ready && listener.ready,
    finishTick: () => finishTick,
  };
}
