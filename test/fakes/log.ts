// A log that remembers its events.

import type { Log, LogField } from "../../proxy/core/ports.ts";

export interface LoggedEvent {
  readonly level: "error" | "warn" | "info" | "debug";
  readonly event: string;
  readonly fields: Readonly<Record<string, LogField>>;
}

export function makeFakeLog(): { readonly log: Log; readonly events: LoggedEvent[] } {
  const events: LoggedEvent[] = [];
  const at = (level: LoggedEvent["level"]) => (event: string, fields: Readonly<Record<string, LogField>>) => {
    events.push({ level, event, fields });
  };
  return { log: { error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug") }, events };
}
