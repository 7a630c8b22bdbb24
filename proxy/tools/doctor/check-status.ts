// Checks the agent's own status file, read as untrusted text: age, version, host contact, clock, endpoints, health notes.

import { ENDPOINT_FACTS, ENDPOINTS } from "../../core/request/endpoint.ts";
import { isObject } from "../../core/text/json-text.ts";
import { broken, doubtful, type Finding, fine } from "./finding.ts";

export interface StatusFacts {
  readonly path: string;
  /** Parsed content; undefined with the reason in `trouble` when it could not be read. */
  readonly status: unknown;
  readonly trouble: string;
  readonly nowMs: number;
  /** Version of this program. */
  readonly ownVersion: string;
  /** By endpoint: SHA-256 of the policy file next to the status; undefined when there is none. */
  readonly policyFiles: Readonly<Record<string, string | undefined>>;
}

const MINUTE_MS = 60_000;
/** It is written every minute; the platform's extension calls it stale after five. */
const STALE_MS = 5 * MINUTE_MS;
const CLOCK_LIMIT_MS = MINUTE_MS;

export function checkStatus(facts: StatusFacts): readonly Finding[] {
  const { path, status } = facts;
  if (!isObject(status) || !isObject(status.proxyAgentStatus))
    return [
      broken(
        "status-file",
        `${path}: ${facts.trouble === "" ? "it does not have the form of a status" : facts.trouble}`,
        "start the agent: it writes this file every minute",
      ),
    ];
  const agent = status.proxyAgentStatus;
  const details = isObject(status.agentDetails) ? status.agentDetails : {};
  return [
    checkAge(facts, status.timestamp),
    checkVersion(facts, agent.version),
    checkOverall(agent),
    ...checkNotes(details.health),
    checkContact(facts, agent, details),
    checkClock(details),
    ...checkCounters(details.redirectCounters),
    ...checkEndpoints(facts, details),
  ];
}

function checkAge({ path, nowMs }: StatusFacts, timestamp: unknown): Finding {
  // UTC without a zone letter, as the platform's readers want it.
  const writtenMs = typeof timestamp === "string" ? Date.parse(`${timestamp}Z`) : Number.NaN;
  if (Number.isNaN(writtenMs)) return broken("status-file", `${path}: unreadable timestamp`, "restart the agent");
  const ageMs = nowMs - writtenMs;
  const words = `${path}, written ${spell(ageMs)} ago`;
  if (ageMs > STALE_MS) return broken("status-file", words, "the agent does not run or hangs: systemctl status azure-proxy-agent");
  return ageMs < -MINUTE_MS ? doubtful("status-file", `${path} is from the future`, "the clock was set back") : fine("status-file", words);
}

function checkVersion({ ownVersion }: StatusFacts, found: unknown): Finding {
  const version = String(found);
  if (version === ownVersion) return fine("version", version);
  return doubtful(
    "version",
    `the daemon that wrote the status is ${version}, this program is ${ownVersion}`,
    "systemctl restart azure-proxy-agent",
  );
}

function checkOverall(agent: Readonly<Record<string, unknown>>): Finding {
  const modules = ["keyLatchStatus", "ebpfProgramStatus", "proxyListenerStatus"];
  const stopped = modules.flatMap((name) => {
    const part = agent[name];
    return isObject(part) && part.status !== "RUNNING" ? [`${name}: ${String(part.message)}`] : [];
  });
  if (agent.status === "SUCCESS" && stopped.length === 0) return fine("agent-status", "SUCCESS");
  const words = `${String(agent.status)}${stopped.length === 0 ? "" : ` (${stopped.join("; ")})`}`;
  return broken("agent-status", words, "the notes below and journalctl -u azure-proxy-agent tell why");
}

function checkNotes(health: unknown): readonly Finding[] {
  if (!Array.isArray(health)) return [];
  return health.filter(isObject).map(({ part, health: word, message }): Finding => {
    const words = `${String(part)}: ${String(message)}`;
    const advice = "docs/operations.md, What to do when";
    return word === "failed" ? broken("agent-part", words, advice) : doubtful("agent-part", words, advice);
  });
}

function checkContact(
  { nowMs }: StatusFacts,
  agent: Readonly<Record<string, unknown>>,
  details: Readonly<Record<string, unknown>>,
): Finding {
  const host = isObject(details.host) ? details.host : {};
  const lastMs = typeof host.lastContact === "string" ? Date.parse(host.lastContact) : Number.NaN;
  const advice = "see the firewall and route checks; secure-channel lines of the journal have the cause";
  if (Number.isNaN(lastMs)) {
    const latch = isObject(agent.keyLatchStatus) ? String(agent.keyLatchStatus.message) : "";
    return broken("host-contact", `the host has not answered since the agent started${latch === "" ? "" : ` (${latch})`}`, advice);
  }
  const words = `the host answered ${spell(nowMs - lastMs)} ago`;
  return nowMs - lastMs > STALE_MS ? broken("host-contact", words, advice) : fine("host-contact", words);
}

function checkClock(details: Readonly<Record<string, unknown>>): Finding {
  const offsetMs = isObject(details.host) ? details.host.clockOffsetMs : undefined;
  if (typeof offsetMs !== "number") return doubtful("clock", "the host's time is not known yet", "wait for the first answer of the host");
  const words = `the VM's clock is ${spell(Math.abs(offsetMs))} ${offsetMs > 0 ? "behind" : "ahead of"} the host's`;
  // Signatures carry the host's own time, so a wrong clock breaks others, not us.
  return Math.abs(offsetMs) > CLOCK_LIMIT_MS
    ? doubtful(
        "clock",
        words,
        "requests are signed with the host's time all the same; mend the clock (timedatectl, chrony), tokens and certificates depend on it",
      )
    : fine("clock", words);
}

/** Connects that the kernel refused, or whose callers' records were lost: counted since the programs were attached. */
function checkCounters(counters: unknown): readonly Finding[] {
  if (!isObject(counters)) return [];
  const count = (name: string) => (typeof counters[name] === "number" ? counters[name] : 0);
  const foreign = count("refusedForeignNamespace");
  const lost = count("refusedNoStorage") + count("publishFailed");
  const device = count("refusedDevice");
  const share = count("refusedShare");
  return [
    foreign === 0
      ? fine("namespaces", "no connects from other network namespaces")
      : doubtful(
          "namespaces",
          `${foreign} connects from other network namespaces were refused`,
          "containers with a network of their own are not served: run the caller in the host's network, or see foreignNamespaces",
        ),
    lost === 0
      ? fine("records", "no caller's record was lost")
      : doubtful(
          "records",
          `${lost} callers could not be recorded and were refused`,
          "the kernel ran out of memory, or one user has too many connections at a time: the log names it (records-throttled)",
        ),
    share === 0
      ? fine("shares", "no user had all the connections that it may")
      : doubtful(
          "shares",
          `${share} connects of users who had all their connections were refused`,
          "agentDetails.crowding and the log name them",
        ),
    device === 0
      ? fine("devices", "no connect of a socket that is bound to a device was refused")
      : doubtful(
          "devices",
          `${device} connects of sockets that are bound to a device were refused`,
          "this kernel lets no program take a socket from its device: do not bind it (curl --interface, SO_BINDTODEVICE)",
        ),
  ];
}

function checkEndpoints({ policyFiles, path }: StatusFacts, details: Readonly<Record<string, unknown>>): readonly Finding[] {
  const endpoints = isObject(details.endpoints) ? details.endpoints : {};
  return ENDPOINTS.flatMap((name): readonly Finding[] => {
    const found = endpoints[name];
    if (!isObject(found)) return [];
    const { title } = ENDPOINT_FACTS[name];
    const mode = String(found.mode);
    const guarded = mode === "audit" || mode === "enforce";
    const state = `${title}: mode ${mode}, ${found.redirected === true ? "redirected" : "not redirected"}`;
    const redirect =
      guarded && found.redirected !== true
        ? broken("redirect", state, "its requests leave unsigned: wait for a latched key, or see redirect lines of the journal")
        : fine("redirect", state);
    const { policyId } = found;
    if (typeof policyId !== "string" || policyId === "") return [redirect];
    const file = policyFiles[name];
    const words = `${title}: ${policyId.slice(0, 16)}`;
    if (file === policyId) return [redirect, fine("policy", `${words}, the same as beside the status`)];
    const advice = `decisions are not affected; do not inspect the file beside ${path} as if it were in force`;
    return [redirect, doubtful("policy", `${words} is in force, the file beside the status is ${file?.slice(0, 16) ?? "missing"}`, advice)];
  });
}

function spell(ms: number): string {
  const seconds = Math.round(Math.abs(ms) / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}
