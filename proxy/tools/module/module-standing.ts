// What an installed module's answer is worth in the agent: a module that is tried alone may say what no request ever hears.

import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";

/** What keeps the answer from counting, one line each; none for most modules. */
export function standingNotes({ enabled, audit, endpoints }: ModuleEntry, endpoint: Endpoint): readonly string[] {
  const notes: string[] = [];
  if (!enabled) notes.push("it is disabled: the agent does not ask it");
  if (!endpoints.includes(endpoint)) notes.push(`the agent asks it at ${endpoints.join(", ")} only, not at ${endpoint}`);
  if (audit) notes.push("it is in audit: the agent records its denies and does not apply them");
  return notes;
}
