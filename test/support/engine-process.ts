// The HTTP engine with its default limits as a process of its own, so that its memory can be read from outside. As a program it is the
// engine: `bun engine-process.ts HOST_PORT streamed|buffered`. A client that comes from 127.0.0.N is the user N - 1, so 127.0.0.1 is root. What root
// sends is read whole and answered with its length; everything else goes to the host.

import { readFileSync } from "node:fs";
import { DEFAULT_HTTP_LIMITS } from "../../proxy/adapters/http/limits.ts";
import { startListener } from "../../proxy/adapters/http/listener.ts";
import type { Exchange, Peer } from "../../proxy/core/ports.ts";
import { serviceEnvironment } from "../bench/service-environment.ts";
import { outboundHead, reply } from "./http-engine.ts";

const MAX_BODY_BYTES = 16 * 1024 * 1024;

export interface EngineProcess extends AsyncDisposable {
  readonly port: number;
  /** Resident memory at its highest so far, with the runtime and its garbage. */
  peakMiB(): number;
  /** Bytes that the engine counts as held for connections now. */
  heldBytes(): Promise<number>;
}

export async function startEngineProcess(hostPort: number, bodies: "streamed" | "buffered"): Promise<EngineProcess> {
  const child = Bun.spawn([process.execPath, import.meta.path, String(hostPort), bodies], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
    env: { PATH: process.env.PATH ?? "", ...serviceEnvironment() },
  });
  const reader = child.stdout.getReader();
  const readNumber = async () => Number(Buffer.from((await reader.read()).value ?? []).toString());
  const port = await readNumber();
  if (!(port > 0)) throw new Error("cannot start the engine: it did not say its port");
  return {
    port,
    peakMiB: () => Number(/^VmHWM:\s*([0-9]+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1]) / 1024,
    async heldBytes() {
      child.stdin.write("\n");
      await child.stdin.flush();
      return await readNumber();
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

async function answerLength(exchange: Exchange): Promise<void> {
  const read = await exchange.readBody(MAX_BODY_BYTES);
  exchange.answer(read.ok ? reply(200, String(read.value.length)) : reply(503, read.error.kind));
}

async function forward(exchange: Exchange, host: Peer, bodies: string): Promise<void> {
  const { method } = exchange.head;
  const read = bodies === "buffered" ? await exchange.readBody(MAX_BODY_BYTES) : undefined;
  if (read?.ok === false) {
    exchange.answer(reply(read.error.kind === "busy" ? 503 : 400));
    return;
  }
  const outcome = await exchange.forward(host, {
    method,
    head: outboundHead(exchange, read?.value.length),
    body: read === undefined ? { kind: "streamed", maxBytes: Number.MAX_SAFE_INTEGER } : { kind: "buffered", bytes: read.value },
    addedResponseHeaders: [],
  });
  if (outcome.kind === "host-failed" || outcome.kind === "body-failed") exchange.answer(reply(503));
}

function serve(hostPort: number, bodies: string): void {
  const host = { address: "127.0.0.1", port: hostPort };
  const started = startListener({
    hostname: "127.0.0.1",
    port: 0,
    limits: DEFAULT_HTTP_LIMITS,
    onError: (where, error) => console.error(where, error),
    accept: (peer) => {
      const owner = Number(peer.address.split(".")[3]) - 1;
      const handle = (exchange: Exchange) => (owner === 0 ? answerLength(exchange) : forward(exchange, host, bodies));
      return { kind: "admit", owner, handle, closed: () => {} };
    },
  });
  if (!started.ok) throw new Error(started.error.message);
  const { value: listener } = started;
  console.log(listener.port);
  process.stdin.on("data", () => console.log(listener.heldBytes));
}

if (import.meta.main) {
  // Ends with whoever started it.
  process.stdin.on("end", () => process.exit(0)).resume();
  serve(Number(process.argv[2]), process.argv[3] ?? "");
}
