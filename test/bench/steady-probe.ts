// Requests at a steady rate on one kept connection, each timed from when it was due: a server that stands still is charged for all
// that was due meanwhile, and not for one request only.

import type { Target } from "./probe.ts";

const DRAIN_MS = 3_000;
const ANSWER_START = "HTTP/1.1 ";

/**
 * @returns milliseconds from when each request was due until its answer began, in the order of the requests
 * Throws when the connection ends or an answer is no 200.
 */
export async function probeSteadily({ address, port, path }: Target, periodMs: number, seconds: number): Promise<readonly number[]> {
  const dueMs: number[] = [];
  const times: number[] = [];
  let rest = "";
  let trouble: string | undefined;
  const socket = await Bun.connect({
    hostname: address,
    port,
    socket: {
      data: (_, bytes) => {
        const nowMs = performance.now();
        rest += bytes.toString("latin1");
        for (;;) {
          const length = answerLength(rest);
          if (length === undefined) return;
          if (!rest.startsWith(`${ANSWER_START}200`)) trouble ??= rest.slice(0, 40);
          rest = rest.slice(length);
          times.push(nowMs - (dueMs[times.length] ?? nowMs));
        }
      },
      close: () => {
        trouble ??= "the connection was closed";
      },
      error: (_, error) => {
        trouble ??= error.message;
      },
    },
  });
  const request = `GET ${path} HTTP/1.1\r\nHost: ${address}\r\nMetadata: true\r\nx-ms-version: 2012-11-30\r\n\r\n`;
  const startedMs = performance.now();
  const count = Math.max(1, Math.round((seconds * 1000) / periodMs));
  for (let i = 0; i < count && trouble === undefined; i++) {
    const due = startedMs + i * periodMs;
    await Bun.sleep(Math.max(0, due - performance.now()));
    dueMs.push(due);
    socket.write(request);
  }
  const endMs = performance.now() + DRAIN_MS;
  while (times.length < count && trouble === undefined && performance.now() < endMs) await Bun.sleep(1);
  const answered = times.length;
  const found = trouble ?? (answered < count ? `only ${answered} of ${count} were answered in time` : undefined);
  socket.end();
  if (found !== undefined) throw new Error(`cannot measure ${address}: ${found}`);
  return times;
}

/** Of the answer that the text begins with; undefined while it is not whole. Only what the host simulator sends is understood. */
function answerLength(text: string): number | undefined {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const head = text.slice(0, headEnd);
  const bodyBytes = /^content-length:\s*([0-9]+)/im.exec(head)?.[1];
  if (bodyBytes === undefined) throw new Error(`cannot measure: an answer without a length: ${head}`);
  const end = headEnd + 4 + Number(bodyBytes);
  return text.length < end ? undefined : end;
}
