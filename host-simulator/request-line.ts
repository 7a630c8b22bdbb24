// One line per request for people who watch the simulator. What clients sent is escaped, so that it cannot draw on the terminal.

import type { RequestRecord } from "./host-model.ts";

/** Time, endpoint, client port and claim, request, verdict, answer. */
export function renderRequestLine(record: RequestRecord): string {
  const time = new Date(record.timeMs).toISOString().slice(11, 23);
  const what = record.method === "" ? "(no request)" : `${record.method} ${record.target}`;
  const verdict = record.signature.kind === "invalid" ? `invalid (${record.signature.reason})` : record.signature.kind;
  const answer = record.status === 0 ? "no answer" : String(record.status);
  const extras = [...record.faults.map((fault) => `fault ${fault}`), ...(record.problem === null ? [] : [record.problem])];
  const tail = extras.length === 0 ? "" : `  [${extras.join(", ")}]`;
  return escapeControls(
    `${time}  ${record.endpoint.padEnd(10)}  port ${String(record.clientPort).padEnd(5)}  ${whoIn(record.claims).padEnd(10)}  ${what}  -> ${verdict}, ${answer}${tail}`,
  );
}

function whoIn(claims: string | null): string {
  if (claims === null) return "no claims";
  try {
    const value: unknown = JSON.parse(claims);
    if (typeof value === "object" && value !== null && "isRoot" in value) return value.isRoot === "true" ? "root" : "not root";
  } catch {
    // Claims are the client's text when no agent is in front; shown as unreadable.
  }
  return "claims?";
}

function escapeControls(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\xff]/g, (found) => `\\x${found.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
