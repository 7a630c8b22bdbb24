// A process that starts the daemon's parts on recorded adapters, stops them again, and prints what they did to the outside world, in
// order. Started by agent.test.ts, because replaced modules are for a whole process.
// Nothing here reaches the system: whatever opens, binds, attaches, sends or writes is replaced by something that only takes a note.

import { plugin } from "bun";
import type { ListenerOptions } from "../../proxy/adapters/http/listener.ts";
import { perEndpoint } from "../../proxy/core/channel/key-status.ts";
import { Secret } from "../../proxy/core/channel/secret.ts";
import type { Exchange } from "../../proxy/core/ports.ts";
import { ENDPOINTS, type Endpoint } from "../../proxy/core/request/endpoint.ts";
import type { RequestHead } from "../../proxy/core/request/http-message.ts";
import { err, ok, type Result } from "../../proxy/core/result.ts";
import type { AggregateStatus } from "../../proxy/core/status/status.ts";
import type { RequestEnd } from "../../proxy/daemon/request/handle-request.ts";
import { makeConfig } from "../fakes/config.ts";

export interface Scenario {
  /** The socket is the service manager's, and the kernel keeps the redirect. */
  readonly stays?: boolean;
  /** An earlier agent guarded all endpoints. */
  readonly inherited?: boolean;
  /** The host answers the first poll only when the agent stops. */
  readonly lateHost?: boolean;
  /** The account database does not answer. */
  readonly directoryHangs?: boolean;
  /** A request comes in on a direct connection, and a head that is none. */
  readonly request?: boolean;
  /** The step that fails. */
  readonly fails?:
    | "lock"
    | "socket"
    | "programs"
    | "proof"
    | "proof unsure"
    | "listener"
    | "listener throws"
    | "modules"
    | "trail stop"
    | undefined;
}

export interface Recording {
  readonly started: string;
  /** Up to the end of the start. */
  readonly start: readonly string[];
  /** Until the first poll is done, when it came after the start. */
  readonly poll: readonly string[];
  readonly stop: readonly string[];
  /** Events of log lines, all of them. */
  readonly lines: readonly string[];
  /** Requests and failed authentications that the last status shows. */
  readonly counted: readonly number[];
  /** Members of the first status that was written and of its details, in their order. */
  readonly status: readonly string[];
}

const scenario: Scenario = JSON.parse(process.argv[2] ?? "{}");
const notes: string[] = [];
const members: string[] = [];
let counted: readonly number[] = [];
const note = (what: string) => void notes.push(what);
const noted = (what: string) => {
  note(what);
  return ok(undefined);
};
const failure = { kind: "failed", message: "scripted failure" } as const;
const fails = <Value>(step: Scenario["fails"], value: Value): Result<Value, typeof failure> =>
  scenario.fails === step ? err(failure) : ok(value);

const key = { guid: "00000000-0000-0000-0000-000000000001", incarnationId: 1, issued: "", secret: new Secret(Buffer.alloc(32, 1)) };
const guarded = new Set<Endpoint>(scenario.inherited === true ? ENDPOINTS : []);
const redirector = {
  pinsExecutable: true,
  unpinnedReason: undefined,
  kernelProcessId: process.pid,
  takeover: "nothing",
  inherited: new Set(guarded),
  notPinned: scenario.stays === true ? undefined : "not wanted",
  setEndpoint(endpoint: Endpoint, on: boolean) {
    note(`redirect: ${endpoint} ${on ? "on" : "off"}`);
    return ok(undefined);
  },
  counters: () => err(failure),
  originOf: () => ok({ kind: "direct", realUid: 1000 }),
  tookFromQueue: () => note("redirect: taken from the backlog"),
  async provesListener() {
    note("redirect: listener proven");
    if (scenario.fails === "proof") return err({ kind: "map-failed", message: failure.message });
    return scenario.fails === "proof unsure" ? err({ kind: "map-failed", message: failure.message, errno: 11 }) : ok(undefined);
  },
  throttledUsers: () => [],
  settleQueue: () => note("redirect: backlog counted"),
  verify(wanted: ReadonlySet<Endpoint>) {
    note(`redirect: verified ${wanted.size}`);
    return [];
  },
  leave: () => note("redirect: left in place"),
  [Symbol.dispose]: () => note("redirect: taken off"),
};

async function sendRequest({ accept, onRefusal }: ListenerOptions): Promise<void> {
  const peer = { address: "127.0.0.1", port: 40_000 };
  const headless = accept({ ...peer, port: 39_999, descriptor: 0 }, { yields: false, evict() {} });
  onRefusal?.({ ...peer, port: 39_999 }, 400, "no request line");
  if (headless.kind === "admit") {
    headless.headRefused?.(400, "no request line");
    headless.closed();
  }
  const admission = accept({ ...peer, descriptor: 0 }, { yields: false, evict() {} });
  if (admission.kind === "refuse") return note("request: refused");
  const head: RequestHead = {
    ...{ method: "GET", target: "/metadata/instance", minorVersion: 1, headers: [["Host", "169.254.169.254"]] },
    ...{ framing: { kind: "none" }, closeAfter: false, expectsContinue: false, host: "169.254.169.254" },
  };
  const answer: Exchange["answer"] = ({ status }) => note(`request: answered ${status}`);
  await admission.handle({
    head,
    readBody: async () => ok(new Uint8Array(0)),
    answer,
    forward: async () => ({ kind: "host-failed", cause: "unreachable", detail: "" }),
  });
  admission.closed();
}

/** By file of the adapters: what is exported instead. */
const REPLACED: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "ebpf/cgroup": { findCgroupRoot: () => ok("/sys/fs/cgroup") },
  "ebpf/pins": { openPinFolder: () => ok(undefined) },
  "ebpf/redirector": {
    openRedirector() {
      note("redirect: programs loaded");
      return fails("programs", redirector);
    },
  },
  "host/key-api": {
    makeKeyApi: () => ({
      async readStatus() {
        note("host: status read");
        // Later than anything that the start does without waiting for it.
        await Bun.sleep(1);
        if (scenario.lateHost === true) await until(() => notes.some((each) => each.includes("STOPPING=1")));
        const orders = perEndpoint(() => ({ kind: "mode", mode: "audit" }));
        const status = { enabled: true, stateText: "audit", keyGuid: key.guid, keyIncarnationId: 1, orders };
        return ok({ status, hostDateMs: undefined });
      },
    }),
  },
  "host/telemetry-api": { makeTelemetryApi: () => ({ readVmMetadata: async () => err(failure), sendDocument: async () => err(failure) }) },
  "http/listener": {
    startListener(options: ListenerOptions) {
      note("listener: accepts");
      if (scenario.fails === "listener throws") throw new Error(failure.message);
      if (scenario.request === true) setTimeout(() => void sendRequest(options), 1);
      const stop = async () => note("listener: drained");
      return fails("listener", { port: 0, connectionCount: 0, heldBytes: 0, maxConnections: 16, stop });
    },
  },
  "http/probe": { probeListener: async () => true },
  "local/unix-socket": {
    async serveUnixSocket({ what }: { readonly what: string }) {
      note(`${what}: served`);
      return ok({ stop: async () => note(`${what}: stopped`) });
    },
  },
  "native/idle-memory": { releaseIdleMemory: () => note("memory: released"), releaseIdleCode() {} },
  "proc/identify": {
    openAccounts() {
      note("accounts: opened");
      const late = scenario.directoryHangs === true ? { uid: 1000, forMs: 2_500 } : undefined;
      return { accountOf: async () => ({ userName: undefined, userGroups: [], doubts: [] }), late: () => late };
    },
  },
  "proc/network-namespace": { readNetworkNamespace: () => "1" },
  "service/instance-lock": {
    lockFolder(path: string) {
      note(`lock: ${path}`);
      return scenario.fails === "lock" ? err({ ...failure, kind: "held" }) : ok({});
    },
  },
  "service/listening-socket": {
    takeInheritedSocket() {
      if (scenario.stays !== true) return ok(undefined);
      note("socket: taken over");
      return ok({ descriptor: 0, inherited: true, backlog: 1 });
    },
    openOwnSocket() {
      note("socket: bound");
      return fails("socket", { descriptor: 0, inherited: false, backlog: 1 });
    },
    settleListening() {
      note("socket: backlog set");
      return [];
    },
    countWaiting: () => 0,
  },
  "service/notify": {
    takeNotify: () => ({ watchdogMs: undefined, send: (...lines: readonly string[]) => note(`service manager: ${lines.join(" ")}`) }),
  },
  "storage/atomic-write": { writeAtomicallyBeside: async (path: string) => noted(`written: ${path}`) },
  "storage/key-store": {
    openKeyStore: () => ok({ load: () => ok(noted("key: loaded") && key), save: () => ok(undefined), prune() {} }),
  },
  "storage/module-store": {
    readModuleIndex() {
      note("modules: list read");
      return scenario.fails === "modules" ? err(failure) : ok([]);
    },
  },
  "storage/rule-file": { makeRuleFolder: () => note("rules: folder made"), readRuleFile: () => ok(undefined) },
  "storage/start-count": { countStart: () => ok(noted("metrics: start counted") && 1) },
  "storage/status-file": {
    async writeStatusFile(_folder: string, status: AggregateStatus) {
      note(`status: ${status.proxyAgentStatus.status} written`);
      counted = [status.proxyAgentStatus.proxyConnectionsCount, status.failedAuthenticateSummary.length];
      if (members.length === 0) members.push(...Object.keys(status), ...Object.keys(status.agentDetails));
      return ok(undefined);
    },
  },
  "storage/tag-files": {
    removeTagFiles: () => noted("provisioning: tags removed"),
    writeTagFiles: (_folder: string, _when: Date, errorText: string) => noted(`provisioning: finished "${errorText}"`),
  },
  "storage/watch-folder": {
    watchFolder() {
      note("modules: watched");
      return { renew() {}, [Symbol.dispose]: () => note("modules: watched no more") };
    },
  },
  "telemetry/event-folder": {
    makeEventFolder: () => ({ keep: async () => ok(undefined), take: async () => ok({ events: [], refused: [] }) }),
  },
  "trail/trail-writer": {
    TrailWriter: class {
      state = () => ({ records: 0, lost: 0, writeFailures: 0, bytes: 0, sequence: 0, failing: undefined });
      append = ({ requestId, reason }: RequestEnd) => note(`trail: ${requestId} ${reason}`);
      start = () => note("trail: started");
      async stop(): Promise<void> {
        note("trail: stopped");
        if (scenario.fails === "trail stop") throw new Error(failure.message);
      }
    },
  },
};

plugin({
  name: "recorded adapters",
  setup(build) {
    build.onLoad({ filter: /\/proxy\/adapters\/[a-z]+\/[a-z-]+\.ts$/ }, async ({ path }) => {
      const replaced = REPLACED[path.slice(path.lastIndexOf("/adapters/") + "/adapters/".length, -".ts".length)];
      if (replaced === undefined) return { loader: "ts", contents: await Bun.file(path).text() };
      return { loader: "object", exports: { ...(await import(`${path}?as-it-is`)), ...replaced } };
    });
  },
});

/** Waits for what is under way beside the start: polls and writes come within milliseconds. */
async function until(isDone: () => boolean): Promise<void> {
  for (const startedMs = performance.now(); !isDone() && performance.now() - startedMs < 5_000; ) await Bun.sleep(5);
}

const lines: string[] = [];
const tell = (event: string, { where }: Readonly<Record<string, unknown>>) =>
  void lines.push(where === undefined ? event : `${event}: ${where}`);
const config = makeConfig("/none", {
  eventFolder: "/none/events",
  ebpfFileFullPath: import.meta.path,
  // Not even root can make a folder there.
  moduleFolder: "/proc/none/modules",
  metricsSocket: "/none/metrics.sock",
  auditFolder: "/none/audit",
});
const { startAgent } = await import("../../proxy/daemon/agent.ts");
const started = await startAgent(config, {
  version: "0",
  executablePath: process.execPath,
  compileCommand: ["/none"],
  hashCommand: ["/none"],
  log: { error: tell, warn: tell, info: tell, debug: tell },
  addLogOutput() {},
  logLinesDropped: () => 0,
  runId: "run",
}).catch((error: unknown) => err({ kind: "defect", message: error instanceof Error ? error.message : String(error) }));
const take = () => notes.splice(0);
const has = (start: string) => notes.some((each) => each.startsWith(start));
const outcome = { started: started.ok ? "running" : `${started.error.kind}: ${started.error.message}`, start: take() };
if (started.ok && scenario.lateHost !== true) await until(() => has("status: ") && (scenario.request !== true || has("trail: run-1")));
const poll = take();
if (started.ok) await started.value.stop();
const recording: Recording = { ...outcome, poll, stop: take(), lines, counted, status: members };
console.log(JSON.stringify(recording));
process.exit(0);
