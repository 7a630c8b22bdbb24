// Small C programs that tests run as other users: compiled once per test file, in a folder that everybody may read, and steered line
// by line. Nothing of them outlives its owner.

import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Subprocess } from "bun";

const SOURCES = join(import.meta.dir, "attacks");

/** Compiled helpers. */
export class HelperPrograms implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "apa-helpers-"));
  readonly #running = new Set<Helper>();

  constructor(...names: readonly string[]) {
    chmodSync(this.folder, 0o755);
    for (const name of names) this.#compile(name);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Starts one with `KEY=VALUE` arguments and waits for its first line. */
  async start(name: string, settings: Readonly<Record<string, string | number>>): Promise<Helper> {
    const helper = new Helper([this.path(name), ...Object.entries(settings).map(([key, value]) => `${key}=${value}`)]);
    this.#running.add(helper);
    await helper.ready;
    return helper;
  }

  /** Ends those that run; what they held is closed then. */
  async endAll(): Promise<void> {
    for (const helper of this.#running) await helper.end();
    this.#running.clear();
  }

  #compile(name: string): void {
    const flags = ["-O1", "-Wall", "-Werror", "-pthread"];
    const built = Bun.spawnSync(["gcc", ...flags, "-o", this.path(name), join(SOURCES, `${name}.c`)]);
    if (built.exitCode !== 0) throw new Error(`cannot compile "${name}": ${built.stderr}`);
    chmodSync(this.path(name), 0o755);
  }

  [Symbol.dispose](): void {
    for (const helper of this.#running) helper.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export type Counts = Readonly<Record<string, number>>;

/** One that runs: each order gets one line of JSON as its answer. */
export class Helper {
  readonly #child: Subprocess<"pipe", "pipe", "inherit">;
  readonly #name: string;
  readonly #lines: AsyncIterator<string>;
  /** What it said about its start. */
  readonly ready: Promise<Counts>;

  constructor(command: readonly string[]) {
    this.#name = basename(command[0] ?? "");
    this.#child = Bun.spawn([...command], { stdin: "pipe", stdout: "pipe", stderr: "inherit", cwd: "/" });
    this.#lines = linesOf(this.#child.stdout);
    this.ready = this.#answer();
  }

  get pid(): number {
    return this.#child.pid;
  }

  ask(order: string): Promise<Counts> {
    this.#child.stdin.write(`${order}\n`);
    this.#child.stdin.flush();
    return this.#answer();
  }

  async #answer(): Promise<Counts> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`the helper "${this.#name}" ended with ${await this.#child.exited}`);
    return JSON.parse(value);
  }

  async end(): Promise<void> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.kill(), 2_000);
    await this.#child.exited;
    clearTimeout(timer);
  }

  kill(): void {
    if (this.#child.exitCode === null) this.#child.kill("SIGKILL");
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
