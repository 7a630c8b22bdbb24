// The host's clock as seen from its answers. The host judges the date of a signature by its own clock,
// so a VM whose clock is hours off must still sign with the host's time.

/** Host time at one moment of the monotonic clock. Replaced whole at every answer that carries a date. */
export interface HostClock {
  /** Milliseconds since 1970 on the host's clock. */
  readonly hostMs: number;
  /** Monotonic milliseconds when the answer arrived. */
  readonly monotonicMs: number;
}

const RFC_1123 =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT$/;

/** Milliseconds since 1970, or undefined when the text is not exactly an RFC 1123 date such as `Wed, 23 Apr 2025 12:00:00 GMT`. */
export function parseHttpDate(text: string | undefined): number | undefined {
  if (text === undefined || !RFC_1123.test(text)) return undefined;
  const time = Date.parse(text);
  // A date that renders differently (Feb 31, wrong weekday) is not a date.
  return Number.isNaN(time) || new Date(time).toUTCString() !== text ? undefined : time;
}

/** Now on the host's clock; on the local clock until the host's time is known. Milliseconds since 1970. */
export function hostNowMs(clock: HostClock | undefined, localMs: number, monotonicMs: number): number {
  return clock === undefined ? localMs : clock.hostMs + (monotonicMs - clock.monotonicMs);
}

/** Renders host dates with one formatting per second, because every request needs one. */
export function makeDateRenderer(): (epochMs: number) => string {
  let second = Number.NaN;
  let text = "";
  return (epochMs) => {
    const now = Math.floor(epochMs / 1000);
    if (now !== second) {
      second = now;
      text = new Date(now * 1000).toUTCString();
    }
    return text;
  };
}
