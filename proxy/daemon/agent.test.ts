import { describe, expect, test } from "bun:test";
import type { Recording, Scenario } from "../../test/support/recorded-agent.ts";

/** What a whole start and stop does to the outside world, with adapters that only take notes. */
async function record(scenario: Scenario): Promise<Recording> {
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/../../test/support/recorded-agent.ts`, JSON.stringify(scenario)], {
    stderr: "pipe",
  });
  const [text, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect(errors).toBe("");
  return JSON.parse(text);
}

const OWN_SOCKET = ["lock: /none/keys", "lock: /sys/fs/bpf/azure-proxy-agent", "provisioning: tags removed", "socket: bound"];
const PROGRAMS = [...OWN_SOCKET, "redirect: programs loaded", "redirect: listener proven"];
const UP_TO_THE_LISTENER = [
  ...PROGRAMS,
  "redirect: backlog counted",
  "accounts: opened",
  "rules: folder made",
  "modules: watched",
  "modules: list read",
  "the control socket: served",
  // The loop has started.
  "modules: list read",
  "host: status read",
  "listener: accepts",
];
const READY = ["service manager: READY=1 STATUS=serving on 127.0.0.1:3080", "metrics: start counted", "metrics: served", "trail: started"];
const ENDED = [
  "listener: drained",
  "the control socket: stopped",
  "modules: watched no more",
  "trail: stopped",
  "metrics: stopped",
  "status: ERROR written",
];

describe("startAgent", () => {
  test("a start with a socket of its own goes up in this order, and down so that new connections go direct first", async () => {
    const { started, start, poll, stop, lines } = await record({});
    expect(started).toBe("running");
    expect(start).toEqual([...UP_TO_THE_LISTENER, "socket: backlog set", ...READY]);
    expect(poll).toEqual([
      "key: loaded",
      "redirect: wireserver on",
      "redirect: hostga on",
      "redirect: imds on",
      "redirect: verified 3",
      "redirect: backlog counted",
      'provisioning: finished ""',
      "status: SUCCESS written",
    ]);
    expect(stop).toEqual([
      "service manager: STOPPING=1 STATUS=stopping",
      "redirect: wireserver off",
      "redirect: hostga off",
      "redirect: imds off",
      ...ENDED,
      "redirect: taken off",
    ]);
    expect(lines).toEqual([
      ...["listener-ready", "redirector-ready", "redirect-not-pinned", "agent-ready"],
      ...["rules-applied", "rules-applied", "rules-applied", "redirect", "redirect", "redirect", "start-timing"],
      ...["secure-channel", "provisioned", "telemetry-failed", "redirect", "redirect", "redirect"],
    ]);
  });

  test("a takeover hears the host before it accepts, and a stop leaves the redirect to the successor", async () => {
    const { started, start, stop, lines } = await record({ stays: true, inherited: true });
    expect(started).toBe("running");
    expect(start).toEqual([
      ...["lock: /none/keys", "lock: /sys/fs/bpf/azure-proxy-agent", "provisioning: tags removed", "socket: taken over"],
      ...["redirect: programs loaded", "redirect: listener proven", "redirect: backlog counted", "accounts: opened"],
      ...["rules: folder made", "modules: watched", "modules: list read", "the control socket: served", "modules: list read"],
      ...["host: status read", "key: loaded", "redirect: verified 3", "redirect: backlog counted"],
      ...["listener: accepts", "socket: backlog set", 'provisioning: finished ""'],
      ...READY,
    ]);
    expect(stop).toEqual([
      "service manager: STOPPING=1 STATUS=stopping, the redirect stays for a successor",
      ...ENDED,
      "redirect: left in place",
    ]);
    expect(lines).toEqual([
      ...["listener-ready", "redirector-ready", "redirect", "redirect", "redirect", "redirect-pinned"],
      ...["rules-applied", "rules-applied", "rules-applied", "start-timing", "secure-channel", "provisioned"],
      ...["agent-ready", "telemetry-failed"],
    ]);
  });

  test("a poll that is still under way when the agent stops puts nothing back into the kernel", async () => {
    const { stop } = await record({ lateHost: true });
    expect(stop).toContain("key: loaded");
    expect(stop.filter((step) => step.startsWith("redirect: "))).toEqual(["redirect: backlog counted", "redirect: taken off"]);
  });

  const FAILING: readonly (readonly [Scenario["fails"], error: string, steps: readonly string[]])[] = [
    ["lock", "held: scripted failure", ["lock: /none/keys"]],
    ["socket", "listener: scripted failure", OWN_SOCKET],
    ["programs", "capability: scripted failure", [...OWN_SOCKET, "redirect: programs loaded"]],
    ["proof", "capability: scripted failure", [...PROGRAMS, "redirect: left in place"]],
    ["listener", "listener: scripted failure", [...UP_TO_THE_LISTENER, "the control socket: stopped", "redirect: left in place"]],
    ["listener throws", "defect: scripted failure", [...UP_TO_THE_LISTENER, "the control socket: stopped", "redirect: left in place"]],
  ];
  test.each(FAILING)("a start whose %s fails goes no further, and takes back what is not its own to leave", async (step, error, steps) => {
    const { started, start, poll, stop } = await record({ fails: step });
    expect([started, start, poll, stop]).toEqual([error, steps, [], []]);
  });

  test("a listener that cannot be proven for want of room in its backlog keeps nobody from starting", async () => {
    const { started, start } = await record({ fails: "proof unsure" });
    expect([started, start]).toEqual(["running", [...UP_TO_THE_LISTENER, "socket: backlog set", ...READY]]);
  });

  test("T-17: a step of the stop that throws is told, and the redirect is still taken off", async () => {
    const { stop, lines } = await record({ fails: "trail stop" });
    expect([stop.at(-1), lines.at(-1)]).toEqual(["redirect: taken off", "internal-error: stop, decision trail"]);
    expect(stop).toContain("status: ERROR written");
  });

  test("modules that cannot be used are in the status, and their denies are in effect before a connection is accepted", async () => {
    const { start, poll, lines } = await record({ fails: "modules" });
    expect(start).toEqual([...UP_TO_THE_LISTENER, "socket: backlog set", ...READY]);
    expect(poll.at(-1)).toBe("status: ERROR written");
    expect(lines.indexOf("modules-refused")).toBeLessThan(lines.indexOf("agent-ready"));
  });

  test("a request is told to the trail, the log and the status, and so is a head that is none", async () => {
    const { poll, lines, counted } = await record({ request: true });
    // What left the backlog is told when the event loop has a turn, whatever else it does in it.
    expect(poll).toContain("redirect: taken from the backlog");
    expect(poll.filter((step) => /^(request|trail): /.test(step))).toEqual(["request: answered 421", "trail: run-1 not-redirected"]);
    expect([lines.filter((event) => event === "request-denied").length, counted]).toEqual([2, [1, 1]]);
  });

  test("T-192: a directory that hangs is in the log with the first poll", async () => {
    const { lines } = await record({ directoryHangs: true });
    expect(lines.filter((event) => event === "accounts-unanswered")).toHaveLength(1);
    expect((await record({})).lines).not.toContain("accounts-unanswered");
  });

  test("the status has these members, in this order", async () => {
    const { status } = await record({});
    expect(status).toEqual([
      ...["timestamp", "proxyAgentStatus", "proxyConnectionSummary", "failedAuthenticateSummary", "agentDetails"],
      ...["health", "epoch", "channel", "endpoints", "ruleRefusals", "executablesPinned", "wouldDeny", "denied", "redirectCounters"],
      ...["decisionTrail", "kernel", "accounts", "host", "telemetry", "modules"],
    ]);
  });
});
