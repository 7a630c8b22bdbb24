// Queries our own listener's health, as a client from outside would: proves that it accepts, reads and answers.

import type { Peer } from "../../core/ports.ts";
import { sendOnce } from "./send-once.ts";

const HEAD = Buffer.from("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");

/** False when there was no sign of life. A 503 or a reset is one: then the listener is full, not dead. */
export async function probeListener(peer: Peer, deadlineMs: number): Promise<boolean> {
  const answer = await sendOnce({ peer, method: "GET", head: HEAD, deadlineMs, maxResponseBytes: 4096 });
  return answer.ok || (answer.error.kind !== "timeout" && answer.error.kind !== "unreachable");
}
