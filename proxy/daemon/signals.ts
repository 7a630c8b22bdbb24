// Small typed events: a part emits, others subscribe, so no part names one that is made after it.
// An emit before anybody subscribed is lost. A subscriber that throws never keeps the others from hearing, nor the emitter from going on.

import type { Log } from "../core/ports.ts";
import { describeDefect } from "../core/thrown.ts";

/** Who hears, for the log when hearing fails, and what hears. */
export type Subscriber<Value> = readonly [who: string, hear: (value: Value) => void];

export interface Signal<Value = void> {
  /** Tells all subscribers, one after the other in the order of their subscription. Never throws. */
  readonly emit: (value: Value) => void;
  subscribe(...subscribers: readonly Subscriber<Value>[]): void;
}

export function makeSignal<Value = void>(log: Pick<Log, "error">): Signal<Value> {
  const subscribers: Subscriber<Value>[] = [];
  /** A defect that every emit meets is logged once for each subscriber, not once for each emit. */
  const logged = new Set<string>();

  return {
    emit(value) {
      for (const [who, hear] of subscribers) {
        try {
          hear(value);
        } catch (error) {
          if (logged.has(who)) continue;
          logged.add(who);
          log.error("internal-error", { where: who, message: describeDefect(error) });
        }
      }
    },
    subscribe(...more) {
      subscribers.push(...more);
    },
  };
}
