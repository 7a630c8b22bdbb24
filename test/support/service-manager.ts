// Stands in for systemd: holds the listening socket, starts the agent with it as descriptor 3, hears its notifications. It stops the
// agent with SIGTERM or SIGKILL and starts the next one; the socket stays open over all of them.

import { dlopen, ptr } from "bun:ffi";
import { closeSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLibc } from "../../proxy/adapters/native/libc.ts";
import { openOwnSocket } from "../../proxy/adapters/service/listening-socket.ts";
import { socketAddress } from "../../proxy/adapters/service/notify.ts";
import { AgentProcess } from "./world.ts";

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK = 2 | 0o4000 | 0o2000000;
const MSG_DONTWAIT = 0x40;

/** A socket like the one in NOTIFY_SOCKET; read it by asking. */
export class NotifySocket implements Disposable {
  readonly path: string;
  readonly #fd: number;
  readonly #libc = dlopen("libc.so.6", { recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" } });
  readonly #heard: string[] = [];

  /** @param path - `@name` for an abstract one */
  constructor(path = join(tmpdir(), `apa-notify-${process.pid}-${Math.random().toString(36).slice(2)}`)) {
    this.path = path;
    const libc = openLibc();
    this.#fd = libc.socket(AF_UNIX, SOCK_DGRAM_NONBLOCK, 0);
    const address = socketAddress(path);
    if (address === undefined || libc.bind(this.#fd, address, address.length) !== 0) throw new Error(`cannot bind "${path}"`);
  }

  /** Every line heard so far. */
  lines(): readonly string[] {
    const buffer = new Uint8Array(4096);
    for (;;) {
      const size = Number(this.#libc.symbols.recv(this.#fd, ptr(buffer), BigInt(buffer.length), MSG_DONTWAIT));
      if (size <= 0) return this.#heard;
      this.#heard.push(...Buffer.from(buffer.subarray(0, size)).toString().split("\n"));
    }
  }

  async hear(line: string, limitMs = 30_000): Promise<void> {
    const endMs = Date.now() + limitMs;
    while (!this.lines().includes(line)) {
      if (Date.now() > endMs) throw new Error(`did not hear "${line}" in time, only ${JSON.stringify(this.lines())}`);
      await Bun.sleep(10);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    if (!this.path.startsWith("@")) rmSync(this.path, { force: true });
  }
}

export class ServiceManager implements Disposable {
  readonly #socket: number;

  constructor() {
    const socket = openOwnSocket("127.0.0.1", 3080);
    if (!socket.ok) throw new Error(socket.error.message);
    this.#socket = socket.value.descriptor;
  }

  /** Starts an agent with the socket, as a unit with a socket unit is started. */
  start(configPath: string, environment: Readonly<Record<string, string>> = {}, command?: readonly string[]): AgentProcess {
    return new AgentProcess(configPath, { socket: this.#socket, environment, ...(command === undefined ? {} : { command }) });
  }

  [Symbol.dispose](): void {
    closeSync(this.#socket);
  }
}
