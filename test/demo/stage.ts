// One request told from all sides: the program's answer, the agent's own log line, and what the simulated host received.
// Compares each with what the demo promises and throws at the first difference: nothing is shown that did not happen.

import { readlinkSync } from "node:fs";
import type { HostControlClient } from "../../host-simulator/control-client.ts";
import type { RequestRecord } from "../../host-simulator/host-model.ts";
import type { AgentProcess, LogLine } from "../support/world.ts";
import { type Finished, type Program, run } from "./caller.ts";
import { clip, FACT_WIDTH, type Screen } from "./screen.ts";

const WAIT_MS = 5_000;
const CHANNEL_PREFIX = "/secure-channel/";
const TITLE: Readonly<Record<string, string>> = { imds: "IMDS", wireserver: "WireServer", hostga: "HostGAPlugin" };
const DECISION: Readonly<Record<string, string>> = {
  "request-forwarded": "allowed",
  "request-denied": "denied",
  "request-failed": "not possible now",
};

/** Something the demo says it shows did not come out that way. */
export class BrokenPromise extends Error {}

/** What a request is promised to show. What is left out must not be there: no log line, nothing at the host. */
export interface Promised {
  /** Status the client sees; 0: none, its connect failed. */
  readonly status: number;
  readonly retryAfter?: string;
  readonly reason?: string;
  readonly rule?: string;
  readonly wouldDeny?: string;
  readonly host?: "valid" | "unsigned";
  readonly isRoot?: boolean;
  /** What this proves, in a sentence for the reader. */
  readonly proves: string;
}

export interface Seen {
  readonly client: Finished;
  readonly line: LogLine | undefined;
  readonly record: RequestRecord | undefined;
}

export class Stage {
  readonly screen: Screen;
  readonly host: HostControlClient;
  readonly #agent: AgentProcess | undefined;
  kept = 0;
  /** Requests the host saw of those that were made with the agent running. */
  throughAgent = 0;

  constructor(screen: Screen, host: HostControlClient, agent: AgentProcess | undefined) {
    this.screen = screen;
    this.host = host;
    this.#agent = agent;
  }

  get agent(): AgentProcess {
    if (this.#agent === undefined) throw new Error("internal error: this part of the demo needs the agent");
    return this.#agent;
  }

  /** Runs a program that makes one request and prints all sides of it. */
  async request(program: Program, promised: Promised, shown?: readonly string[]): Promise<Seen> {
    if (shown === undefined) this.screen.command(program.who.prompt, program.command);
    else {
      this.screen.command(program.who.prompt, [...program.command.slice(0, 2), "..."]);
      for (const line of shown) this.screen.row(`| ${line}`);
    }
    const seen = await this.#make(program, promised);
    if (this.#agent !== undefined) this.#tellAgentSide(seen.line);
    this.screen.fact("host", describeRecord(seen.record));
    this.screen.fact("client", describeClient(seen.client));
    this.#compare(seen, promised);
    this.promise(promised.proves, true, "");
    return seen;
  }

  /** The same in one line, for requests of which there are many. */
  async briefRequest(program: Program, promised: Promised, shown: string): Promise<void> {
    const seen = await this.#make(program, promised);
    this.screen.row(`${seen.client.status}  ${String(seen.line?.fields.reason ?? "").padEnd(16)}  ${shown}`);
    this.#compare(seen, promised);
  }

  /** States something that has been shown; throws when it is not so. */
  promise(proves: string, holds: boolean, found: string): void {
    if (!holds) throw new BrokenPromise(renderBroken(proves, found));
    this.kept++;
    this.screen.kept(proves);
  }

  /** Everything the host has received beyond the agent's own calls, oldest first. */
  async received(afterId = 0): Promise<readonly RequestRecord[]> {
    return (await this.host.requests({ afterId })).filter(({ target }) => !target.startsWith(CHANNEL_PREFIX));
  }

  async #make(program: Program, promised: Promised): Promise<Seen> {
    const [last] = await this.host.requests({ limit: 1 });
    const lineCount = this.#agent?.lines.length ?? 0;
    const client = await run(program);
    const line = promised.reason === undefined ? this.#requestLine(lineCount) : await until(() => this.#requestLine(lineCount));
    const records = async () => (await this.received(last?.id))[0];
    const record = promised.host === undefined ? await records() : await until(records);
    if (this.#agent !== undefined && record !== undefined) this.throughAgent++;
    return { client, line, record };
  }

  #requestLine(from: number): LogLine | undefined {
    return this.#agent?.lines.slice(from).find(({ event }) => /^request-(forwarded|denied|failed)$/.test(event));
  }

  #tellAgentSide(line: LogLine | undefined): void {
    if (line === undefined) {
      this.screen.fact("agent", "never saw it");
      return;
    }
    this.screen.fact("asked", describeCaller(line.fields));
    this.screen.fact("decided", describeDecision(line));
  }

  #compare({ client, line, record }: Seen, promised: Promised): void {
    const fields = line?.fields;
    const pid = fields?.processId;
    const checks: readonly (readonly [what: string, found: unknown, want: unknown])[] = [
      ["client status", client.status, promised.status],
      ["Retry-After", promised.retryAfter === undefined ? undefined : client.retryAfter, promised.retryAfter],
      ["agent's reason", fields?.reason, promised.reason],
      ["deciding rule", promised.rule === undefined ? undefined : fields?.ruleId, promised.rule],
      ["answer under enforce", fields?.wouldDeny, promised.wouldDeny],
      ["signature at the host", record?.signature.kind, promised.host],
      ["claim at the host", record === undefined ? undefined : claimOf(record), promised.isRoot],
      // Seen from another pid namespace than the kernel's first one, the same process has another number.
      ["caller's pid", pid, pid === undefined || !inFirstPidNamespace() ? pid : client.pid],
    ];
    for (const [what, found, want] of checks) {
      if (found === want) continue;
      const said = client.stderr === "" ? "" : `\n  the program said: ${client.stderr}`;
      throw new BrokenPromise(renderBroken(promised.proves, `${what} ${String(found)}, want ${String(want)}${said}`));
    }
  }
}

function renderBroken(proves: string, found: string): string {
  return `the demo does not show what it promises: ${proves}\n  found ${found}`;
}

/** Asks until there is an answer or time is up; undefined then. */
export async function until<Value>(
  ask: () => Value | undefined | Promise<Value | undefined>,
  limitMs = WAIT_MS,
): Promise<Value | undefined> {
  const endMs = Date.now() + limitMs;
  for (;;) {
    const found = await ask();
    if (found !== undefined || Date.now() > endMs) return found;
    await Bun.sleep(10);
  }
}

function inFirstPidNamespace(): boolean {
  return readlinkSync("/proc/self/ns/pid") === "pid:[4026531836]";
}

/** Undefined when the host saw no claim. */
export function claimOf(record: RequestRecord): boolean | undefined {
  if (record.claims === null) return undefined;
  return /"isRoot": *"true"/.test(record.claims);
}

function describeCaller(fields: LogLine["fields"]): string {
  if (fields.processId === undefined) return "unknown: the connection did not come through the kernel's redirect";
  const doubts = Array.isArray(fields.doubts) ? fields.doubts.join("; ") : "";
  const program = fields.processFullPath === "" ? `program unknown (${doubts})` : String(fields.processFullPath);
  const user =
    fields.userName === "undefined" ? `uid ${String(fields.userId)}` : `${String(fields.userName)} (uid ${String(fields.userId)})`;
  return `${user}, ${program}, pid ${String(fields.processId)}`;
}

function describeDecision({ event, fields }: LogLine): string {
  const rule = fields.ruleId === undefined || fields.ruleId === "" ? "" : `, rule ${String(fields.ruleId)}`;
  const policy = named(", policy", String(fields.policyId ?? "").slice(0, 8));
  const place =
    fields.endpoint === undefined
      ? ""
      : `; ${TITLE[String(fields.endpoint)] ?? ""} in ${String(fields.mode)}${named(", rule set", fields.ruleSetId)}${policy}`;
  if (fields.wouldDeny !== undefined) return `allowed by audit mode; enforce would deny: ${String(fields.wouldDeny)}${rule}${place}`;
  return `${DECISION[event] ?? event}: ${String(fields.reason)}${rule}${place}`;
}

function named(label: string, value: unknown): string {
  return value === undefined || value === "" ? "" : `${label} ${clip(String(value), 28)}`;
}

function describeRecord(record: RequestRecord | undefined): string {
  if (record === undefined) return "received nothing";
  const { signature } = record;
  const checked =
    signature.kind === "invalid" ? `signature invalid (${signature.reason})` : signature.kind === "valid" ? "signature valid" : "unsigned";
  const claim = claimOf(record);
  return `${checked}${claim === undefined ? "" : `, claim isRoot ${claim}`}, answered ${record.status}`;
}

function describeClient({ status, retryAfter, body, exitCode, stdout }: Finished): string {
  if (status === 0) return `no answer: the program ended with exit code ${exitCode}`;
  const before = /^(.*)\nHTTP\/1/s.exec(stdout)?.[1];
  const wait = retryAfter === undefined ? "" : `, Retry-After ${retryAfter}`;
  return clip(`${before === undefined ? "" : `${before}; `}${status}${wait}  ${body.trim()}`, FACT_WIDTH);
}
