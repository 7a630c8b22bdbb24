// Parts of the status in addition to those of the platform's shape: registered once at start, queried for every status.
// A part that throws is reported as failed; it never keeps the status from being written.

import { cutMessage, type ModuleStatus } from "../../core/status/status.ts";
import type { Health, PartReport, StatusPart } from "../../core/status/status-part.ts";
import { describeError } from "../../core/thrown.ts";

/** Something that is not as it should be, as `agentDetails.health` lists it. */
export interface HealthNote {
  readonly part: string;
  readonly health: Exclude<Health, "ok">;
  readonly message: string;
}

export interface PartsReading {
  readonly notes: readonly HealthNote[];
  readonly details: Readonly<Record<string, unknown>>;
  /** What parts say for modules of the platform's shape; the worst one counts when several speak for the same. */
  readonly modules: Readonly<Partial<Record<NonNullable<StatusPart["module"]>, ModuleStatus>>>;
}

export interface StatusParts {
  add(part: StatusPart): void;
  read(): PartsReading;
}

/** @param taken - members of `agentDetails` that are not free for parts */
export function makeStatusParts(taken: readonly string[]): StatusParts {
  const parts: StatusPart[] = [];
  return {
    add(part) {
      if ([...taken, ...parts.map(({ name }) => name)].includes(part.name))
        throw new Error(`internal error: two parts of the status are called "${part.name}"`);
      parts.push(part);
    },
    read() {
      const notes: HealthNote[] = [];
      const details: Record<string, unknown> = {};
      const modules: Partial<Record<NonNullable<StatusPart["module"]>, ModuleStatus>> = {};
      for (const part of parts) {
        const { health, message, details: member } = query(part);
        if (health !== "ok") notes.push({ part: part.name, health, message: cutMessage(message) });
        if (member !== undefined) details[part.name] = member;
        const spoken = part.module === undefined ? undefined : modules[part.module];
        // Who is well and has nothing to say takes no words from others.
        const isSilent = health === "ok" && message === "" && spoken !== undefined;
        if (part.module !== undefined && spoken?.status !== "STOPPED" && !isSilent)
          modules[part.module] = { status: health === "failed" ? "STOPPED" : "RUNNING", message: cutMessage(message) };
      }
      return { notes, details, modules };
    },
  };
}

function query(part: StatusPart): PartReport {
  try {
    return part.report();
  } catch (error) {
    const message = `internal error in status of ${part.name}: ${describeError(error)}`;
    return { health: "failed", message, details: undefined };
  }
}
