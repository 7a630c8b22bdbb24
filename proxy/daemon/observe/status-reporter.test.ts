import { describe, expect, test } from "bun:test";
import { perEndpoint } from "../../core/channel/key-status.ts";
import { Secret } from "../../core/channel/secret.ts";
import { NO_MODULES } from "../../core/modules/policy-chain.ts";
import type { ENDPOINTS } from "../../core/request/endpoint.ts";
import { type EndpointGuard, UNKNOWN_GUARDS } from "../policy/guards.ts";
import type { KeeperReport, Snapshot } from "../policy/key-keeper.ts";
import { makeRedirectPart } from "../redirect/redirect-check.ts";
import { makeStatusParts } from "./status-parts.ts";
import { buildStatus, OWN_DETAILS, type StatusSources } from "./status-reporter.ts";

const GUID = "9cf81e97-0316-4ad3-94a7-8ccbdee8ccbf";
const STATE = "WireServer Enforce -  IMDS Audit - HostGA Enforce";

const guard = (more: Partial<EndpointGuard>): EndpointGuard => ({
  ...UNKNOWN_GUARDS.imds,
  policy: undefined,
  platformRuleId: "sig-2",
  ...more,
});

const SNAPSHOT: Snapshot = {
  epoch: 7,
  guards: {
    wireserver: guard({ mode: "enforce", platformRuleId: "sig-1" }),
    hostga: guard({ mode: "enforce" }),
    imds: guard({ mode: "audit" }),
  },
  modules: NO_MODULES,
  channel: { kind: "latched", key: { guid: GUID, incarnationId: 3, issued: "", secret: new Secret(Buffer.alloc(32)) } },
};

const REPORT: KeeperReport = {
  stateText: STATE,
  message: `found key ${GUID} on disk`,
  healthy: true,
  keyIncarnationId: 3,
  lastContactMs: 1_000_000,
  clockOffsetMs: undefined,
};

interface Changes {
  readonly keeper?: Partial<KeeperReport>;
  readonly guarded?: Readonly<Record<(typeof ENDPOINTS)[number], boolean>>;
  readonly guards?: Partial<Snapshot["guards"]>;
  readonly sources?: Partial<StatusSources>;
}

/** The status of an agent that is well, but for the changes. */
function statusWith(changes: Changes = {}) {
  const snapshot = { ...SNAPSHOT, guards: { ...SNAPSHOT.guards, ...changes.guards } };
  const guarded = changes.guarded ?? perEndpoint(() => true);
  const parts = makeStatusParts(OWN_DETAILS);
  parts.add(makeRedirectPart({ snapshot: () => snapshot, guarded: () => guarded }));
  return buildStatus({
    version: "1.2.3",
    now: () => new Date("2026-07-22T21:27:45.123Z"),
    monotonicMs: () => 1_010_000,
    snapshot: () => snapshot,
    keeper: () => ({ ...REPORT, ...changes.keeper }),
    stalledMs: () => 0,
    redirector: () => ({ running: true, message: "Started Redirector with eBPF maps - 12", pinsExecutable: true }),
    listener: () => ({ running: true, message: "Started proxy listener, ready to accept request - 3" }),
    guarded: () => guarded,
    counters: () => undefined,
    requests: () => 42,
    summaries: () => ({ all: [], failed: [] }),
    denials: () => {
      const none = { since: "", total: 0, other: 0, entries: [] };
      return { wouldDeny: none, denied: none };
    },
    parts: parts.read,
    statusPath: "/var/log/azure-proxy-agent/status.json",
    writeFailure: () => undefined,
    ...changes.sources,
  });
}

describe("buildStatus", () => {
  test("an agent that is well, word for word as the platform's tools read it", () => {
    const { agentDetails, ...shape } = statusWith();
    expect(shape).toEqual({
      timestamp: "2026-07-22T21:27:45.123",
      proxyAgentStatus: {
        version: "1.2.3",
        status: "SUCCESS",
        monitorStatus: { status: "RUNNING", message: "Aggregate status written to status file: /var/log/azure-proxy-agent/status.json" },
        keyLatchStatus: {
          status: "RUNNING",
          message: `found key ${GUID} on disk`,
          states: {
            secureChannelState: STATE,
            keyGuid: GUID,
            wireServerRuleId: "sig-1",
            imdsRuleId: "sig-2",
            hostGARuleId: "sig-2",
            keyIncarnationId: "3",
          },
        },
        ebpfProgramStatus: { status: "RUNNING", message: "Started Redirector with eBPF maps - 12" },
        proxyListenerStatus: { status: "RUNNING", message: "Started proxy listener, ready to accept request - 3" },
        telemetryLoggerStatus: { status: "UNKNOWN", message: 'Telemetry is switched off by the config key "telemetry".' },
        proxyConnectionsCount: 42,
      },
      proxyConnectionSummary: [],
      failedAuthenticateSummary: [],
    });
    expect(agentDetails.health).toEqual([]);
  });

  test.each<[name: string, changes: Changes, module: "keyLatchStatus" | "ebpfProgramStatus", message: string, part: string]>([
    [
      "the last poll failed",
      { keeper: { healthy: false, message: "host unreachable" } },
      "keyLatchStatus",
      "host unreachable",
      "keyKeeper",
    ],
    [
      "the host was never heard",
      { keeper: { healthy: false, message: "waiting", lastContactMs: undefined, stateText: "Unknown" } },
      "keyLatchStatus",
      "waiting",
      "keyKeeper",
    ],
    [
      "the host is silent for days and nothing failed",
      { sources: { monotonicMs: () => 1_000_000 + 2 * 86_400_000 } },
      "keyLatchStatus",
      "the host has been silent for 172800 s; last: found key",
      "keyKeeper",
    ],
    [
      "the loop is dead",
      { sources: { stalledMs: () => 95_000 } },
      "keyLatchStatus",
      "the key keeper has not turned for 95 s; last: found key",
      "keyKeeper",
    ],
    [
      "the redirect is not in place",
      { guarded: { wireserver: true, hostga: true, imds: false } },
      "ebpfProgramStatus",
      "IMDS (mode audit) is not redirected",
      "redirect",
    ],
    [
      "the redirect cannot be taken off",
      { guards: { imds: guard({ mode: "disabled" }) } },
      "ebpfProgramStatus",
      "IMDS (mode disabled) is still redirected",
      "redirect",
    ],
  ])("%s: ERROR, the module stopped, and why", (_name, changes, module, message, part) => {
    const { proxyAgentStatus, agentDetails } = statusWith(changes);
    expect([proxyAgentStatus.status, proxyAgentStatus[module].status]).toEqual(["ERROR", "STOPPED"]);
    expect(proxyAgentStatus[module].message).toStartWith(message);
    expect(agentDetails.health).toEqual([{ part, health: "failed", message: proxyAgentStatus[module].message }]);
  });

  test("rules that were refused: ERROR, though all modules run", () => {
    const { proxyAgentStatus, agentDetails } = statusWith({ guards: { imds: guard({ mode: "audit", refusal: "cannot use IMDS rules" }) } });
    expect([proxyAgentStatus.status, proxyAgentStatus.keyLatchStatus.status, proxyAgentStatus.ebpfProgramStatus.status]).toEqual([
      "ERROR",
      "RUNNING",
      "RUNNING",
    ]);
    expect(agentDetails.health).toEqual([{ part: "rules", health: "failed", message: "cannot use IMDS rules" }]);
  });

  test("a status that could not be written last time says so when it is asked for", () => {
    const { monitorStatus } = statusWith({ sources: { writeFailure: () => 'cannot write "/x": ENOSPC' } }).proxyAgentStatus;
    expect(monitorStatus).toEqual({ status: "STOPPED", message: 'cannot write "/x": ENOSPC' });
  });

  test("a disabled channel is well: no key, no rules, nothing redirected", () => {
    const { proxyAgentStatus, agentDetails } = statusWith({
      keeper: { stateText: "disabled", message: "secure channel is disabled by the platform", keyIncarnationId: undefined },
      guards: perEndpoint(() => guard({ mode: "disabled", platformRuleId: "" })),
      guarded: perEndpoint(() => false),
      sources: {
        snapshot: () => ({
          ...SNAPSHOT,
          channel: { kind: "disabled" },
          guards: perEndpoint(() => guard({ mode: "disabled", platformRuleId: "" })),
        }),
      },
    });
    expect(proxyAgentStatus.status).toBe("SUCCESS");
    expect(proxyAgentStatus.keyLatchStatus.states).toEqual({
      secureChannelState: "disabled",
      wireServerRuleId: "",
      imdsRuleId: "",
      hostGARuleId: "",
    });
    expect(agentDetails.health).toEqual([]);
  });

  test("messages are cut to 1024 characters, never inside one", () => {
    const { message } = statusWith({ keeper: { message: "🔑".repeat(5_000) } }).proxyAgentStatus.keyLatchStatus;
    expect([...message]).toHaveLength(1024);
    expect(message).toEndWith("🔑...");
  });
});
