// A whole VM for one test: the host simulator and the built agent, both real processes inside the sandbox, and callers that
// know nothing of either. Everything ends with the test, also when it fails.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Subprocess } from "bun";
import { HostControlClient } from "../../host-simulator/control-client.ts";
import type { HostEndpoint, RequestRecord } from "../../host-simulator/host-model.ts";
import type { HostSettings } from "../../host-simulator/settings.ts";
import { requireSandbox } from "./sandbox.ts";

const ROOT = join(import.meta.dir, "../..");
export const AGENT = join(ROOT, "dist/azure-proxy-agent");
/** Not how long it takes, but how long nobody doubts it: the machine may do other things as well. */
const START_LIMIT_MS = 30_000;
const STATUS_LIMIT_MS = 20_000;

export interface LogLine {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** The line's own time, ms since 1970. */
  readonly atMs: number;
}

export interface AgentProcessOptions {
  readonly cwd?: string;
  readonly command?: readonly string[];
  /** Told of every line as it was written. */
  readonly onLine?: (text: string) => void;
  /** A listening socket that the agent inherits, as from systemd. */
  readonly socket?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

/** systemd sets LISTEN_PID between fork and exec; so does this. */
const WITH_SOCKET = ["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "sh"];

/** The agent as a process, with what it has logged so far. */
export class AgentProcess {
  readonly process: Subprocess<"ignore", "pipe", "pipe">;
  readonly lines: LogLine[] = [];
  stderr = "";
  /** Just before exec, ms since 1970. */
  readonly startedMs = Date.now();
  readonly #onLine: ((text: string) => void) | undefined;
  readonly #reading: Promise<unknown>;

  constructor(configPath: string, options: AgentProcessOptions = {}) {
    this.#onLine = options.onLine;
    const { socket, environment: env = {}, cwd = "/", command = [AGENT, "--config", configPath] } = options;
    this.process =
      socket === undefined
        ? Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe", env, cwd })
        : Bun.spawn([...WITH_SOCKET, ...command], {
            stdio: ["ignore", "pipe", "pipe", socket],
            env: { PATH: "/usr/bin:/bin", ...env },
            cwd,
          });
    this.#reading = Promise.all([this.#readLines(), this.#readErrors()]);
  }

  get pid(): number {
    return this.process.pid;
  }

  async #readLines(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of this.process.stdout) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        this.lines.push(parseLine(line));
        this.#onLine?.(line);
      }
    }
  }

  async #readErrors(): Promise<void> {
    this.stderr = await new Response(this.process.stderr).text();
  }

  /** Waits for a line, looking at those already there too. */
  async line(
    event: string,
    matches: (fields: LogLine["fields"]) => boolean = () => true,
    limitMs = START_LIMIT_MS,
  ): Promise<LogLine["fields"]> {
    const endMs = Date.now() + limitMs;
    for (;;) {
      const found = this.lines.find((line) => line.event === event && matches(line.fields));
      if (found !== undefined) return found.fields;
      if (Date.now() > endMs || this.process.exitCode !== null)
        throw new Error(`no "${event}" line in time; the agent logged:\n${this.describe()}`);
      await Bun.sleep(10);
    }
  }

  describe(): string {
    return `${this.lines.map(({ event, fields }) => `${event} ${JSON.stringify(fields)}`).join("\n")}\n${this.stderr}`;
  }

  /** Ends it as systemd would and gives its exit code. */
  async stop(): Promise<number> {
    if (this.process.exitCode === null) this.process.kill("SIGTERM");
    const timer = setTimeout(() => this.process.kill("SIGKILL"), START_LIMIT_MS);
    const code = await this.process.exited;
    clearTimeout(timer);
    await this.#reading;
    return code;
  }
}

function parseLine(line: string): LogLine {
  // "TIME [LEVEL] EVENT {json}"
  const match = /^(\S+) \[[A-Z]+\] (\S+) (\{.*\})$/.exec(line);
  if (match === null) return { event: "unreadable", fields: { line }, atMs: Date.now() };
  return { event: match[2] ?? "", fields: JSON.parse(match[3] ?? "{}"), atMs: Date.parse(match[1] ?? "") };
}

export interface WorldOptions {
  readonly host?: Partial<HostSettings>;
  readonly config?: Readonly<Record<string, unknown>>;
  /** Endpoints whose redirect to wait for; default all. */
  readonly awaitRedirect?: readonly HostEndpoint[];
  /** Runs while the host is up and there is no agent yet. */
  readonly beforeAgent?: (host: HostControlClient) => Promise<void>;
  readonly onAgentLine?: (text: string) => void;
  /** Starts the agent; default: as a plain process. */
  readonly startAgent?: (configPath: string) => AgentProcess;
}

export class World implements AsyncDisposable {
  readonly folder: string;
  readonly host: HostControlClient;
  readonly configPath: string;
  agent: AgentProcess;
  readonly #hostProcess: Subprocess;

  private constructor(folder: string, hostProcess: Subprocess, host: HostControlClient, configPath: string, agent: AgentProcess) {
    this.folder = folder;
    this.host = host;
    this.configPath = configPath;
    this.agent = agent;
    this.#hostProcess = hostProcess;
  }

  static async start(options: WorldOptions = {}): Promise<World> {
    const sandbox = requireSandbox();
    if (!existsSync(AGENT)) throw new Error(`this test runs the built agent: found no "${AGENT}", make it with ./scripts/build`);
    const folder = mkdtempSync(join(tmpdir(), "apa-world-"));
    const control = join(folder, "control.sock");
    const hostProcess = Bun.spawn([process.execPath, join(ROOT, "host-simulator/main.ts"), "--control", control], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "inherit",
    });
    const host = new HostControlClient(control);
    try {
      await host.waitUntilUp(START_LIMIT_MS);
      if (options.host !== undefined) await host.configure(options.host);
      const configPath = writeConfig(folder, sandbox.cgroupPath, options.config ?? {});
      await options.beforeAgent?.(host);
      const { onAgentLine, startAgent } = options;
      const agent = startAgent?.(configPath) ?? new AgentProcess(configPath, onAgentLine === undefined ? {} : { onLine: onAgentLine });
      const world = new World(folder, hostProcess, host, configPath, agent);
      await world.awaitRedirect(options.awaitRedirect ?? ["wireserver", "hostga", "imds"]);
      return world;
    } catch (error) {
      hostProcess.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async awaitRedirect(endpoints: readonly HostEndpoint[]): Promise<void> {
    try {
      for (const endpoint of endpoints)
        await this.agent.line("redirect", (fields) => fields.endpoint === endpoint && fields.guarded === true);
    } catch (error) {
      await this.agent.stop();
      throw error;
    }
  }

  /** What the host received on an endpoint beyond the agent's own secure channel calls. */
  async received(endpoint: HostEndpoint): Promise<readonly RequestRecord[]> {
    const all = await this.host.requests({ endpoint });
    return all.filter(({ target }) => !target.startsWith("/secure-channel/"));
  }

  /** The agent's own calls on the secure channel. */
  async channelCalls(pathPrefix = "/secure-channel/"): Promise<readonly RequestRecord[]> {
    return (await this.host.requests({ endpoint: "wireserver" })).filter(({ target }) => target.startsWith(pathPrefix));
  }

  /** Everything any endpoint received that was not validly signed, the agent's own unsigned calls aside. */
  async unsignedLeft(): Promise<readonly RequestRecord[]> {
    const all = (await Promise.all((["wireserver", "hostga", "imds"] as const).map((endpoint) => this.received(endpoint)))).flat();
    return all.filter(({ signature }) => signature.kind !== "valid");
  }

  async restartAgent(awaitRedirect: readonly HostEndpoint[] = ["wireserver", "hostga", "imds"]): Promise<number> {
    const code = await this.agent.stop();
    this.agent = new AgentProcess(this.configPath);
    await this.awaitRedirect(awaitRedirect);
    return code;
  }

  status(): Readonly<Record<string, unknown>> {
    return JSON.parse(readFileSync(join(this.folder, "status", "status.json"), "utf8"));
  }

  /** The status once it holds what is wanted, or as it is when that does not happen: it follows a change within a fraction of a second. */
  async untilStatus(wanted: object, limitMs = STATUS_LIMIT_MS): Promise<Readonly<Record<string, unknown>>> {
    const endMs = Date.now() + limitMs;
    for (;;) {
      const found = existsSync(join(this.folder, "status", "status.json")) ? this.status() : {};
      if (Bun.deepMatch(wanted, found) || Date.now() > endMs) return found;
      await Bun.sleep(25);
    }
  }

  /** Fields of the last request's line once they match, or as they are when that does not happen: a line may come after the answer. */
  async untilLastRequest(wanted: object, limitMs = STATUS_LIMIT_MS): Promise<LogLine["fields"]> {
    const endMs = Date.now() + limitMs;
    for (;;) {
      const found = this.agent.lines.findLast(({ event }) => event.startsWith("request-"))?.fields ?? {};
      if (Bun.deepMatch(wanted, found) || Date.now() > endMs) return found;
      await Bun.sleep(10);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent.stop();
    await runProgram([AGENT, "release", "--config", this.configPath]);
    this.#hostProcess.kill("SIGTERM");
    await this.#hostProcess.exited;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** In the sandbox's own bpffs, which takes no dots. */
function pinFolderOf(folder: string): string {
  return `/sys/fs/bpf/${basename(folder)}`;
}

function writeConfig(folder: string, cgroupRoot: string, more: Readonly<Record<string, unknown>>): string {
  const path = join(folder, "proxy-agent.json");
  mkdirSync(join(folder, "status"));
  const config = {
    logFolder: "",
    eventFolder: join(folder, "events"),
    telemetry: "off",
    latchKeyFolder: join(folder, "keys"),
    statusFolder: join(folder, "status"),
    monitorIntervalInSeconds: 60,
    pollKeyStatusIntervalInSeconds: 1,
    ebpfProgramName: "ebpf_cgroup.o",
    cgroupRoot,
    pinFolder: pinFolderOf(folder),
    fileLogLevelForSystemEvents: "Debug",
    ...more,
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

// ---- callers ------------------------------------------------------------------------------------------------------

export interface Ids {
  readonly uid: number;
  readonly gid: number;
}

export const ALICE: Ids = { uid: 4001, gid: 4001 };

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Runs a program, as other ids when given. Rejects when it does not end in time. */
export async function runProgram(
  command: readonly string[],
  ids?: Ids,
  limitMs = 30_000,
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const as = ids === undefined ? [] : ["setpriv", `--reuid=${ids.uid}`, `--regid=${ids.gid}`, "--clear-groups", "--"];
  const child = Bun.spawn([...as, ...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe", cwd: "/", timeout: limitMs });
  const [stdout, stderr, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { code, stdout, stderr };
}

/** curl; status 0 when it got no answer. */
export async function curl(
  url: string,
  options: { readonly as?: Ids; readonly args?: readonly string[]; readonly limitSeconds?: number } = {},
): Promise<Answer> {
  const { as, args = [], limitSeconds = 20 } = options;
  const found = await runProgram(
    ["curl", "-s", "-i", "--max-time", String(limitSeconds), "--noproxy", "*", "-H", "Metadata: true", ...args, url],
    as,
    (limitSeconds + 10) * 1_000,
  );
  return parseAnswer(found.stdout);
}

export async function python(code: string, ids?: Ids): Promise<string> {
  const { stdout, stderr, code: exit } = await runProgram(["/usr/bin/python3", "-c", code], ids);
  if (exit !== 0) throw new Error(`python ended with ${exit}: ${stderr}`);
  return stdout.trim();
}

function parseAnswer(text: string): Answer {
  // Interim answers (100 Continue) come first; the last head counts.
  let rest = text;
  for (;;) {
    const end = rest.indexOf("\r\n\r\n");
    const head = rest.slice(0, end < 0 ? rest.length : end).split("\r\n");
    const status = Number(/^HTTP\/1\.[01] ([0-9]{3})/.exec(head[0] ?? "")?.[1] ?? 0);
    const body = end < 0 ? "" : rest.slice(end + 4);
    if (status >= 100 && status < 200 && body !== "") {
      rest = body;
      continue;
    }
    const headers = Object.fromEntries(
      head.slice(1).map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
    );
    return { status, headers, body };
  }
}

export const IMDS_INSTANCE = "http://169.254.169.254/metadata/instance?api-version=2021-02-01";
export const GOAL_STATE = "http://168.63.129.16/machine/?comp=goalstate";
