import { describe, expect, test } from "bun:test";
import { SECRET, TRUSTED } from "../../core/file-trust.ts";
import { checkEach, checkFile, checkRuleFile, type FileFacts, type FileWish } from "./check-files.ts";
import { checkKernel, type KernelFacts } from "./check-kernel.ts";
import { checkNetwork, type NetworkFacts } from "./check-network.ts";
import { checkPrograms, type HookFacts } from "./check-programs.ts";
import { checkStatus, type StatusFacts } from "./check-status.ts";
import { broken, doubtful, type Finding, fine, renderFindings, worstOf } from "./finding.ts";

function healthOf(findings: readonly Finding[], check: string): string {
  return worstOf(findings.filter((finding) => finding.check === check)).concat(
    findings.some((finding) => finding.check === check) ? "" : " (absent)",
  );
}

describe("renderFindings", () => {
  test("one line each, the advice below, then the count", () => {
    expect(renderFindings([fine("a", "is"), doubtful("long", "may", "look"), broken("b", "not", "mend")])).toEqual([
      "OK    a     is",
      "WARN  long  may",
      "            -> look",
      "FAIL  b     not",
      "            -> mend",
      "1 ok, 1 warn, 1 fail",
    ]);
  });
  test("the worst word counts", () => {
    expect([
      worstOf([]),
      worstOf([fine("a", "")]),
      worstOf([fine("a", ""), doubtful("b", "", "")]),
      worstOf([broken("a", "", ""), fine("b", "")]),
    ]).toEqual(["ok", "ok", "warn", "fail"]);
  });
});

describe("checkKernel", () => {
  const good: KernelFacts = {
    release: "6.8.0-1018-azure",
    machine: "x86_64",
    btf: { kind: "readable" },
    lockdown: "none [integrity] confidentiality",
    cgroup: { ok: true, path: "/sys/fs/cgroup" },
    cgroup1Controllers: [],
    bpffsMounted: true,
    libbpfTrouble: undefined,
    isRoot: true,
  };
  test("all is well", () => expect(worstOf(checkKernel(good))).toBe("ok"));
  test.each<[string, Partial<KernelFacts>, string]>([
    ["kernel-version", { release: "5.15.0" }, "ok"],
    ["kernel-version", { release: "5.14.9" }, "fail"],
    ["kernel-version", { release: "4.20" }, "fail"],
    ["kernel-version", { release: "unknown" }, "warn"],
    ["machine", { machine: "riscv64" }, "fail"],
    ["btf", { btf: { kind: "missing" } }, "warn"],
    ["btf", { btf: { kind: "unreadable", why: "cannot read it" } }, "warn"],
    ["btf", { lockdown: "none integrity [confidentiality]" }, "warn"],
    ["cgroup2", { cgroup: { ok: false, why: "no mount of type cgroup2" } }, "fail"],
    ["cgroup2", { cgroup1Controllers: ["cpu", "net_cls"] }, "warn"],
    ["cgroup2", { cgroup1Controllers: ["cpu", "memory"] }, "ok"],
    ["bpffs", { bpffsMounted: false }, "warn"],
    ["libbpf", { libbpfTrouble: "not found" }, "fail"],
    ["rights", { isRoot: false }, "warn"],
  ])("%s with %p: %s", (check, change, health) => expect(healthOf(checkKernel({ ...good, ...change }), check)).toBe(health));
});

describe("checkFile", () => {
  const folder: FileWish = { check: "key-folder", kind: "folder", forbidden: SECRET, missing: "warn" };
  const at = (more: Partial<Extract<FileFacts, { uid: number }>>): FileFacts => ({
    kind: "folder",
    path: "/k",
    uid: 0,
    mode: 0o700,
    ...more,
  });
  test.each<[string, FileFacts, Partial<FileWish>, string]>([
    ["root's alone", at({}), {}, "ok"],
    ["others may look", at({ mode: 0o755 }), {}, "fail"],
    ["others may look where that is fine", at({ mode: 0o755 }), { forbidden: TRUSTED }, "ok"],
    ["the group may write", at({ mode: 0o775 }), { forbidden: TRUSTED }, "fail"],
    ["somebody else's", at({ uid: 1000 }), {}, "fail"],
    ["a link", at({ kind: "link", mode: 0o777 }), {}, "fail"],
    ["a file", at({ kind: "file" }), {}, "fail"],
    ["missing", { kind: "missing", path: "/k" }, {}, "warn"],
    ["missing, as before the first start", { kind: "missing", path: "/k" }, { missing: "fine" }, "ok"],
    ["missing, from the package", { kind: "missing", path: "/k" }, { missing: "fail" }, "fail"],
    ["unreadable", { kind: "unreadable", path: "/k" }, {}, "warn"],
  ])("%s", (_title, facts, wish, health) => expect(checkFile(facts, { ...folder, ...wish }).health).toBe(health as "ok"));
  test("the advice names the mode to set", () => expect(checkFile(at({ mode: 0o755 }), folder).advice).toEndWith("chmod 0700 /k"));
  test("of many the worst is told", () => {
    expect(checkEach("keys", "key files", [fine("keys", "a"), doubtful("keys", "b", "x"), broken("keys", "c", "y")]).found).toBe("c");
    expect(checkEach("keys", "key files", [fine("keys", "a"), fine("keys", "b")]).found).toBe("2 key files, each root's alone");
    expect(checkEach("keys", "key files", []).health).toBe("ok");
  });
  test("rule files", () => {
    expect([checkRuleFile("/r", "absent").health, checkRuleFile("/r", undefined).health, checkRuleFile("/r", "bad").health]).toEqual([
      "ok",
      "ok",
      "fail",
    ]);
  });
});

describe("checkPrograms", () => {
  const ours: Readonly<Record<string, string>> = { sockops: "redirect_sockop", connect4: "redirect_connec", connect6: "redirect_connec" };
  const hooks = (more: Readonly<Record<string, readonly string[]>> = {}): readonly HookFacts[] =>
    Object.entries(ours).map(([hook, name]) => ({
      hook,
      ours: name,
      programs: (more[hook] ?? [name]).map((each, index) => ({ id: index + 1, name: each })),
    }));
  test.each<[string, readonly HookFacts[] | string, string, string]>([
    ["all attached", hooks(), "ok", "ok"],
    ["one missing", hooks({ connect6: [] }), "fail", "ok (absent)"],
    ["none", hooks({ connect4: [], connect6: [], sockops: ["other"] }), "fail", "ok (absent)"],
    ["not allowed to ask", "Operation not permitted (EPERM)", "warn", "ok (absent)"],
    ["another one before", hooks({ connect4: ["mesh", "redirect_connec"] }), "ok", "ok"],
    ["another one behind", hooks({ connect4: ["redirect_connec", "mesh"] }), "ok", "warn"],
    ["another sockops behind", hooks({ sockops: ["redirect_sockop", "tcp_tuner"] }), "ok", "ok"],
  ])("%s", (_title, facts, programs, order) => {
    const findings = checkPrograms("/sys/fs/cgroup", facts);
    expect([healthOf(findings, "programs"), healthOf(findings, "program-order")]).toEqual([programs, order]);
  });
});

describe("checkNetwork", () => {
  const good: NetworkFacts = {
    iptables: "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
    nftables: { nftables: [] },
    routes: {
      "168.63.129.16": { ok: true, words: "168.63.129.16 via 10.0.0.1 dev eth0" },
      "169.254.169.254": { ok: true, words: "via 10.0.0.1" },
    },
    listener: { kind: "answers", status: 200 },
    listenerOwner: 0,
  };
  test("all is well", () => expect(worstOf(checkNetwork(good))).toBe("ok"));
  test.each<[string, Partial<NetworkFacts>, string]>([
    ["firewall-host", { iptables: "*filter\n:OUTPUT DROP [0:0]\nCOMMIT\n" }, "fail"],
    ["firewall-host", { iptables: "*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -m set --match-set x dst -j DROP\nCOMMIT\n" }, "warn"],
    ["firewall-host", { iptables: undefined, nftables: undefined }, "ok"],
    ["firewall-loopback", { iptables: "*filter\n:INPUT DROP [0:0]\nCOMMIT\n" }, "fail"],
    ["route", { routes: { "168.63.129.16": { ok: false, words: "RTNETLINK answers: Permission denied" } } }, "fail"],
    ["route", { routes: {} }, "warn"],
    ["listener", { listener: { kind: "silent", why: "nobody listens" } }, "fail"],
    ["listener", { listener: { kind: "answers", status: 503 } }, "warn"],
    ["listener", { listener: { kind: "answers", status: 404 } }, "fail"],
    ["listener", { listenerOwner: 1000 }, "fail"],
  ])("%s with %p: %s", (check, change, health) => expect(healthOf(checkNetwork({ ...good, ...change }), check)).toBe(health));
});

describe("checkStatus", () => {
  const nowMs = Date.parse("2026-07-22T21:30:00.000Z");
  const details = {
    health: [],
    host: { lastContact: "2026-07-22T21:29:50.000Z", clockOffsetMs: 120 },
    endpoints: {
      wireserver: { mode: "enforce", redirected: true, policyId: "" },
      hostga: { mode: "disabled", redirected: false, policyId: "" },
      imds: { mode: "audit", redirected: true, policyId: "ab".repeat(32) },
    },
  };
  const running = { status: "RUNNING", message: "fine" };
  const agent = { version: "1.2.3", status: "SUCCESS", keyLatchStatus: running, ebpfProgramStatus: running, proxyListenerStatus: running };
  const status = { timestamp: "2026-07-22T21:29:45.123", proxyAgentStatus: agent, agentDetails: details };
  const good: StatusFacts = { path: "/s", status, trouble: "", nowMs, ownVersion: "1.2.3", policyFiles: { imds: "ab".repeat(32) } };
  const withDetails = (more: object): Partial<StatusFacts> => ({ status: { ...status, agentDetails: { ...details, ...more } } });
  const withAgent = (more: object): Partial<StatusFacts> => ({ status: { ...status, proxyAgentStatus: { ...agent, ...more } } });

  test("all is well", () => expect(worstOf(checkStatus(good))).toBe("ok"));
  test.each<[string, Partial<StatusFacts>, string]>([
    ["status-file", { status: undefined, trouble: "cannot be read" }, "fail"],
    ["status-file", { status: [] }, "fail"],
    ["status-file", { status: { ...status, timestamp: "yesterday" } }, "fail"],
    ["status-file", { nowMs: nowMs + 6 * 60_000 }, "fail"],
    ["status-file", { nowMs: nowMs - 60 * 60_000 }, "warn"],
    ["version", { ownVersion: "1.2.4" }, "warn"],
    ["agent-status", withAgent({ status: "ERROR" }), "fail"],
    ["agent-status", withAgent({ ebpfProgramStatus: { status: "STOPPED", message: "detached" } }), "fail"],
    ["agent-part", withDetails({ health: [{ part: "telemetry", health: "degraded", message: "slow" }] }), "warn"],
    ["agent-part", withDetails({ health: [{ part: "modules", health: "failed", message: "traps" }] }), "fail"],
    ["host-contact", withDetails({ host: {} }), "fail"],
    ["host-contact", withDetails({ host: { lastContact: "2026-07-22T21:20:00.000Z" } }), "fail"],
    ["clock", withDetails({ host: { lastContact: "2026-07-22T21:29:50.000Z", clockOffsetMs: -7_200_000 } }), "warn"],
    ["clock", withDetails({ host: {} }), "warn"],
    ["namespaces", withDetails({ redirectCounters: { refusedForeignNamespace: 3 } }), "warn"],
    ["namespaces", withDetails({ redirectCounters: { refusedForeignNamespace: 0 } }), "ok"],
    ["records", withDetails({ redirectCounters: { refusedNoStorage: 1, publishFailed: 0 } }), "warn"],
    ["redirect", withDetails({ endpoints: { imds: { mode: "audit", redirected: false, policyId: "" } } }), "fail"],
    ["policy", { policyFiles: { imds: "cd".repeat(32) } }, "warn"],
    ["policy", { policyFiles: {} }, "warn"],
  ])("%s with %p: %s", (check, change, health) => expect(healthOf(checkStatus({ ...good, ...change }), check)).toBe(health));

  test.each([[null], [1], ["x"], [{ proxyAgentStatus: 1 }], [{ proxyAgentStatus: {}, agentDetails: [], timestamp: {} }]])(
    "%p never throws",
    (text) => expect(worstOf(checkStatus({ ...good, status: text }))).toBe("fail"),
  );
});
