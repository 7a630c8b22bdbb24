// `azure-proxy-agent --status` as boot tools run it, and listeners that play an agent in trouble.

import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const AGENT = join(import.meta.dir, "../../dist/azure-proxy-agent");

export interface StatusRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly elapsedMs: number;
}

/** The command as it is typed; `env` is all it gets. Killed, and code -9, when it does not end within the limit. */
export async function runAgentCommand(
  argv: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly command?: readonly string[]; readonly limitMs?: number } = {},
): Promise<StatusRun> {
  const startedMs = performance.now();
  const child = Bun.spawn([...(options.command ?? [AGENT]), ...argv], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: options.env ?? {},
    cwd: "/",
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), options.limitMs ?? 60_000);
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  clearTimeout(timer);
  return { code: child.signalCode === "SIGKILL" ? -9 : code, stdout, stderr, elapsedMs: performance.now() - startedMs };
}

/** Listens where the agent would and does with each connection what it is told. */
export async function playAgent(
  serve: (socket: Socket, seen: readonly string[]) => void,
): Promise<AsyncDisposable & { readonly seen: string[] }> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    socket.once("data", (bytes) => {
      seen.push(bytes.toString("latin1"));
      serve(socket, seen);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(3080, "127.0.0.1", resolve);
  });
  return {
    seen,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function provisionReply(finished: boolean, errorMessage: string): string {
  const body = JSON.stringify({ finished, errorMessage });
  return `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** The agent under its name in a folder of its own, to be found through PATH, and a clock for one process that can be made to jump. */
export class CommandStage implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "apa-status-"));
  readonly #shiftPath = join(this.folder, "shift");
  readonly #library = join(this.folder, "clock-shift.so");

  constructor() {
    symlinkSync(AGENT, join(this.folder, "azure-proxy-agent"));
    this.shiftClock(0);
    const source = join(import.meta.dir, "clock-shift.c");
    const built = Bun.spawnSync(["gcc", "-shared", "-fPIC", "-O1", "-o", this.#library, source]);
    if (built.exitCode !== 0) throw new Error(`cannot build "${source}": ${built.stderr}`);
  }

  /** For processes started with {@link clockEnvironment}. */
  shiftClock(seconds: number): void {
    writeFileSync(this.#shiftPath, String(seconds));
  }

  get clockEnvironment(): Readonly<Record<string, string>> {
    return { LD_PRELOAD: this.#library, CLOCK_SHIFT_FILE: this.#shiftPath };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
