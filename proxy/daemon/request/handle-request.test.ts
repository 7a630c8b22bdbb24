import { describe, expect, test } from "bun:test";
import { FakeExchange, type FakeRequest } from "../../../test/fakes/exchange.ts";
import { perEndpoint } from "../../core/channel/key-status.ts";
import { Secret } from "../../core/channel/secret.ts";
import type { SecureChannel } from "../../core/channel/secure-channel.ts";
import { type ModuleSet, NO_MODULES } from "../../core/modules/policy-chain.ts";
import type { ForwardOutcome, Policy, PolicyDecision } from "../../core/ports.ts";
import type { Caller } from "../../core/request/caller.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import type { Mode } from "../../core/request/verdict.ts";
import { requestFields } from "../observe/request-log.ts";
import type { EndpointGuard } from "../policy/guards.ts";
import type { Snapshot } from "../policy/key-keeper.ts";
import { type CallerLookup, handleRequest, type RequestEnd } from "./handle-request.ts";

const LATCHED: SecureChannel = {
  kind: "latched",
  key: { guid: "9cf81e97-0316-4ad3-94a7-8ccbdee8ccbf", incarnationId: 1, issued: "", secret: new Secret(Buffer.alloc(32, 1)) },
};
const OTHER_KEY: SecureChannel = {
  kind: "latched",
  key: { guid: "00000000-0000-0000-0000-000000000002", incarnationId: 2, issued: "", secret: new Secret(Buffer.alloc(32, 2)) },
};

function caller(endpoint: Endpoint, elevated = false): Caller {
  return {
    endpoint,
    claims: {
      processId: 42,
      userId: elevated ? 0 : 1000,
      runAsElevated: elevated,
      userName: elevated ? "root" : "alice",
      userGroups: [],
      processFullPath: "/usr/bin/curl",
      processName: "curl",
      processCmdLine: "curl",
      cgroupId: 1n,
      clientAddress: "127.0.0.1",
      clientPort: 50000,
    },
    record: {
      processId: 42,
      threadId: 42,
      realUid: elevated ? 0 : 1000,
      realGid: 0,
      effectiveUid: undefined,
      effectiveGid: undefined,
      comm: "curl",
      cgroupId: 1n,
      networkNamespaceCookie: 1n,
      socketCookie: 1n,
      startTimeNs: undefined,
      executable: undefined,
      destinationAddress: "169.254.169.254",
      destinationPort: 80,
      mapped: false,
    },
    doubts: [],
  };
}

function policyThat(decision: PolicyDecision): Policy {
  return { policyId: "p", evaluate: () => decision };
}
const ALLOW = policyThat({ kind: "allow", reason: "granted", rule: "r" });
const DENY = policyThat({ kind: "deny", reason: "not-granted", rule: "r" });
const ABSTAIN = policyThat({ kind: "abstain", reason: "no-opinion", rule: "" });

function snapshotOf(mode: Mode, policy: Policy | undefined, channel: SecureChannel = LATCHED): Snapshot {
  const guard: EndpointGuard = {
    mode,
    policy,
    ruleSetId: "rs",
    platformRuleId: "rs",
    localFile: undefined,
    goodFile: undefined,
    refusal: undefined,
    orderText: "",
  };
  return { epoch: 7, guards: perEndpoint(() => guard), modules: NO_MODULES, channel };
}

function modulesThat(kind: "allow" | "deny", audit = false): ModuleSet {
  const answer = { kind, reason: "no-tokens", rule: "", labels: [] };
  const module = { name: "m", audit, policyId: "hash-of-m", headers: new Set<string>(), ask: () => ({ answer, failed: false }) };
  return perEndpoint(() => [module]);
}

interface Run {
  readonly endpoint?: Endpoint;
  readonly elevated?: boolean;
  readonly lookup?: CallerLookup;
  readonly snapshot?: Snapshot;
  /** In force once the body was read. */
  readonly later?: Snapshot;
  readonly request?: FakeRequest;
}

async function handle(run: Run): Promise<{ readonly exchange: FakeExchange; readonly end: RequestEnd }> {
  let current = run.snapshot ?? snapshotOf("enforce", ALLOW);
  const { later } = run;
  const exchange = new FakeExchange({ ...run.request, ...(later === undefined ? {} : { whileReading: () => (current = later) }) });
  const ends: RequestEnd[] = [];
  const lookup: CallerLookup = run.lookup ?? { kind: "identified", caller: caller(run.endpoint ?? "imds", run.elevated) };
  await handleRequest(exchange, lookup, {
    snapshot: () => current,
    hostDate: () => "Wed, 23 Apr 2025 12:00:00 GMT",
    nextRequestId: () => "id-1",
    monotonicMs: () => 0,
    readClock: () => ({ uptimeSeconds: 3600, unixSeconds: 1_750_000_000 }),
    answerLocally: () => undefined,
    ended: (end) => ends.push(end),
  });
  const [end, ...more] = ends;
  if (end === undefined || more.length > 0) throw new Error(`found ${ends.length} ends, want exactly 1`);
  return { exchange, end };
}

/** Status answered, and how many requests left for the host. */
async function outcome(run: Run): Promise<readonly [status: number | undefined, left: number, reason: string]> {
  const { exchange, end } = await handle(run);
  return [exchange.answers[0]?.status, exchange.forwarded.length, end.reason];
}

describe("handleRequest", () => {
  test("a permitted request leaves endorsed", async () => {
    const { exchange, end } = await handle({});
    expect(exchange.sentHead()).toContain("x-ms-azure-host-authorization: Azure-HMAC-SHA256 9cf81e97-0316-4ad3-94a7-8ccbdee8ccbf ");
    expect(exchange.sentHead()).toContain('x-ms-azure-host-claims: { "isRoot": "false"}');
    expect(exchange.answers).toEqual([]);
    expect(end).toMatchObject({ event: "request-forwarded", status: 200, reason: "granted", endorsed: true, epoch: 7 });
  });

  test.each([
    ["enforce", DENY, [403, 0, "not-granted"]],
    ["enforce", ABSTAIN, [403, 0, "no-opinion"]],
    ["audit", DENY, [undefined, 1, "not-granted"]],
    ["audit", ALLOW, [undefined, 1, "granted"]],
    ["disabled", DENY, [undefined, 1, "not-granted"]],
    ["enforce", undefined, [undefined, 1, "no-rules"]],
  ] as const)("in %s mode a policy's answer is applied in one place", async (mode, policy, expected) => {
    expect(await outcome({ snapshot: snapshotOf(mode, policy) })).toEqual([...expected] as never);
  });

  test("a deny that audit lets pass is told as such", async () => {
    const { end } = await handle({ snapshot: snapshotOf("audit", DENY) });
    expect(end).toMatchObject({ event: "request-forwarded", auditDeny: true });
  });

  test.each(["wireserver", "hostga"] as const)("T-04: %s serves only root, in every mode and whatever the rules say", async (endpoint) => {
    for (const mode of ["disabled", "audit", "enforce"] as const) {
      expect(await outcome({ endpoint, snapshot: snapshotOf(mode, ALLOW) })).toEqual([403, 0, "not-root"]);
      expect(await outcome({ endpoint, elevated: true, snapshot: snapshotOf(mode, ALLOW) })).toEqual([undefined, 1, "granted"]);
    }
  });

  test.each(["unknown", "disabled", "unlatched"] as const)("T-02: under enforce nothing leaves while the channel is %s", async (kind) => {
    const { exchange, end } = await handle({ snapshot: snapshotOf("enforce", ALLOW, { kind }) });
    expect(exchange.forwarded).toHaveLength(0);
    expect(exchange.answers[0]).toMatchObject({ status: 503 });
    expect(exchange.answers[0]?.headers).toContainEqual(["Retry-After", "2"]);
    expect(end.reason).toBe("no-key");
  });

  test("in audit without a key the request passes unsigned, less what the client forged", async () => {
    const { exchange, end } = await handle({
      snapshot: snapshotOf("audit", ALLOW, { kind: "unlatched" }),
      request: {
        headers: [
          ["Host", "h"],
          ["x-ms-azure-host-authorization", "forged"],
        ],
      },
    });
    expect(exchange.sentHead()).not.toContain("authorization");
    expect(end.endorsed).toBe(false);
  });

  test.each([
    [{ kind: "not-redirected" }, 421, "not-redirected"],
    [{ kind: "record-lost" }, 503, "record-lost"],
  ] as const)("T-05: a connection with %j gets nothing from the host", async (lookup, status, reason) => {
    expect(await outcome({ lookup })).toEqual([status, 0, reason]);
  });

  describe("a caller of whom a fact was not there in time", () => {
    const late: CallerLookup = {
      kind: "identified",
      caller: { ...caller("imds"), late: true, doubts: ["the start time could not be read in time"] },
    };

    test("is asked to come again where the rules deny what is known of it", async () => {
      const { exchange, end } = await handle({ lookup: late, snapshot: snapshotOf("enforce", DENY) });
      expect([exchange.answers[0]?.status, end.event, end.reason, end.detail]).toEqual([
        503,
        "request-failed",
        "caller-late",
        "the start time could not be read in time",
      ]);
      expect(exchange.forwarded).toEqual([]);
    });

    test("is served where the rules allow it all the same, and in audit", async () => {
      expect((await outcome({ lookup: late })).slice(1)).toEqual([1, "granted"]);
      expect((await outcome({ lookup: late, snapshot: snapshotOf("audit", DENY) })).slice(1)).toEqual([1, "not-granted"]);
    });
  });

  test.each([
    [{ method: "TRACE" }, 405, "method-not-allowed"],
    [{ method: "get" }, 405, "method-not-allowed"],
    [{ method: "CONNECT" }, 405, "method-not-allowed"],
    [{ target: "/metadata/%zz" }, 400, "ambiguous-target"],
    [{ target: "/metadata/instance%3Fapi-version=1" }, 400, "ambiguous-target"],
    [{ target: "http://evil.example/metadata/instance" }, 400, "ambiguous-target"],
    [{ target: "/metadata\\identity" }, 400, "ambiguous-target"],
    [{ target: "/x?a=bc&ab=c" }, 400, "ambiguous-request"],
    [
      {
        headers: [
          ["Host", "h"],
          ["Metadata", "true"],
          ["metadata", "false"],
        ],
      },
      400,
      "ambiguous-request",
    ],
    [{ method: "POST", body: "x".repeat(200_000) }, 413, "body-too-large"],
    [{ method: "POST", body: "x", bodyFailure: { kind: "malformed", detail: "" } }, 400, "body-malformed"],
    [{ method: "POST", body: "x", bodyFailure: { kind: "timeout" } }, 408, "body-timeout"],
    [{ method: "POST", body: "x", bodyFailure: { kind: "busy" } }, 503, "body-memory-full"],
  ] as const)("refuses %j", async (request, status, reason) => {
    expect(await outcome({ request: request as FakeRequest })).toEqual([status, 0, reason]);
  });

  test("a refused method says which are allowed", async () => {
    const { exchange } = await handle({ request: { method: "TRACE" } });
    expect(exchange.answers[0]?.headers).toContainEqual(["Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"]);
  });

  test.each([
    ["hostga", "PUT", "/vmAgentLog", true, "exempt-upload"],
    ["wireserver", "PUT", "/VMAGENTLOG", true, "exempt-upload"],
    ["wireserver", "POST", "/machine/?comp=telemetrydata", true, "exempt-upload"],
  ] as const)("%s %s %s from root is streamed unsigned past the rules", async (endpoint, method, target, elevated, reason) => {
    const { exchange, end } = await handle({
      endpoint,
      elevated,
      snapshot: snapshotOf("enforce", DENY),
      request: { method, target, body: "zip" },
    });
    expect(exchange.forwarded[0]?.request.body.kind).toBe("streamed");
    expect(exchange.sentHead()).not.toContain("authorization");
    expect(end.reason).toBe(reason);
  });

  test.each([
    ["imds", "PUT", "/vmAgentLog", true],
    ["hostga", "POST", "/machine/?comp=telemetrydata", true],
    ["hostga", "GET", "/vmAgentLog", true],
    ["hostga", "PUT", "/vmAgentLog/", true],
    ["hostga", "PUT", "/vmAgentLog?x", true],
    ["hostga", "PUT", "http://168.63.129.16:32526/vmAgentLog", true],
    ["hostga", "PUT", "/vmAgentLog", false],
  ] as const)("T-06: %s %s %s (root: %p) is not exempt", async (endpoint, method, target, elevated) => {
    const [status, left] = await outcome({ endpoint, elevated, snapshot: snapshotOf("enforce", DENY), request: { method, target } });
    expect([status, left]).toEqual([403, 0]);
  });

  test("an exempt upload beyond the limit is refused before a byte of it leaves", async () => {
    const exchange = new FakeExchange({ method: "PUT", target: "/vmAgentLog", body: "" });
    const huge = Object.assign(exchange, { head: { ...exchange.head, framing: { kind: "length", lengthBytes: 151 * 1024 * 1024 } } });
    const ends: RequestEnd[] = [];
    await handleRequest(
      huge,
      { kind: "identified", caller: caller("hostga", true) },
      {
        snapshot: () => snapshotOf("enforce", ALLOW),
        hostDate: () => "",
        nextRequestId: () => "id",
        monotonicMs: () => 0,
        readClock: () => ({ uptimeSeconds: 0, unixSeconds: 0 }),
        answerLocally: () => undefined,
        ended: (end) => ends.push(end),
      },
    );
    expect([exchange.answers[0]?.status, exchange.forwarded.length, ends[0]?.reason]).toEqual([413, 0, "body-too-large"]);
  });

  test("T-130: a module's deny is a 403 whose line names the module and its reason; audit lets it pass", async () => {
    const denied = await handle({ snapshot: { ...snapshotOf("enforce", ALLOW), modules: modulesThat("deny") } });
    expect(denied.exchange.answers[0]?.status).toBe(403);
    expect(denied.end).toMatchObject({
      event: "request-denied",
      reason: "module-denied",
      detail: "m: no-tokens",
      modules: [{ name: "m", applied: true }],
    });
    expect(requestFields(denied.end)).toMatchObject({ module: "m", moduleReason: "no-tokens", ruleId: "m", policyId: "hash-of-m" });
    const softened = await handle({ snapshot: { ...snapshotOf("audit", ALLOW), modules: modulesThat("deny") } });
    expect(softened.end).toMatchObject({ event: "request-forwarded", auditDeny: true, reason: "module-denied" });
    const audited = await handle({ snapshot: { ...snapshotOf("enforce", ALLOW), modules: modulesThat("deny", true) } });
    expect(audited.end).toMatchObject({ event: "request-forwarded", reason: "granted", auditDeny: false });
    expect(requestFields(audited.end)).toMatchObject({ moduleWouldDeny: ["m: no-tokens"], ruleId: "r" });
  });

  test("modules are asked without rules, too; never about built-in refusals and exempt uploads", async () => {
    const modules = modulesThat("deny");
    const withoutRules = await handle({ snapshot: { ...snapshotOf("enforce", undefined), modules } });
    expect(withoutRules.end.reason).toBe("module-denied");
    const notRoot = await handle({ endpoint: "hostga", snapshot: { ...snapshotOf("enforce", ALLOW), modules } });
    expect([notRoot.end.reason, notRoot.end.modules]).toEqual(["not-root", []]);
    const upload = { method: "PUT", target: "/vmAgentLog", body: "log" };
    const exempt = await handle({
      endpoint: "hostga",
      elevated: true,
      request: upload,
      snapshot: { ...snapshotOf("enforce", ALLOW), modules },
    });
    expect([exempt.end.reason, exempt.end.modules]).toEqual(["exempt-upload", []]);
  });

  test("T-137: modules that change while the body arrives decide the request", async () => {
    const request = { method: "POST", body: "x" };
    const later = { ...snapshotOf("enforce", ALLOW), modules: modulesThat("deny") };
    const { exchange, end } = await handle({ snapshot: snapshotOf("enforce", ALLOW), later, request });
    expect([exchange.answers[0]?.status, end.reason, exchange.forwarded.length]).toEqual([403, "module-denied", 0]);
  });

  test("the end tells what was decided on, and how long each part took that was reached", async () => {
    const durations = ({ end: { identifyMs, policyMs, hostMs } }: Awaited<ReturnType<typeof handle>>) => [identifyMs, policyMs, hostMs];
    const lookup: CallerLookup = { kind: "identified", caller: caller("imds"), identifyMs: 2 };
    const passed = await handle({ lookup, request: { target: "/metadata//Instance?x=1" } });
    expect(passed.end.request).toMatchObject({ segments: ["metadata", "instance"], query: [{ name: "x", value: "1" }] });
    expect(durations(passed)).toEqual([2, 0, 0]);
    expect(durations(await handle({ snapshot: snapshotOf("enforce", DENY) }))).toEqual([undefined, 0, undefined]);
    const ambiguous = await handle({ request: { target: "/a%00" } });
    expect([ambiguous.end.reason, ambiguous.end.request]).toEqual(["ambiguous-target", undefined]);
    expect(durations(await handle({ lookup: { kind: "not-redirected" } }))).toEqual([undefined, undefined, undefined]);
  });

  test("a status report of 8 MB to HostGAPlugin is signed whole", async () => {
    const { exchange, end } = await handle({
      endpoint: "hostga",
      elevated: true,
      request: { method: "PUT", target: "/status", body: "s".repeat(8_000_000) },
    });
    expect(exchange.forwarded[0]?.request.body).toMatchObject({ kind: "buffered" });
    expect([exchange.sentHead().includes("Content-Length: 8000000"), end.endorsed]).toEqual([true, true]);
  });

  test.each([
    ["T-14: rules that became stricter", snapshotOf("enforce", DENY), 403, "not-granted"],
    ["T-14: a key that was dropped", snapshotOf("enforce", ALLOW, { kind: "unlatched" }), 503, "no-key"],
  ] as const)("%s while the body was on its way decide", async (_what, later, status, reason) => {
    expect(await outcome({ later, request: { method: "POST", body: "x" } })).toEqual([status, 0, reason]);
  });

  test("a key that was replaced while the body was on its way is not used any more", async () => {
    const { exchange } = await handle({ later: snapshotOf("enforce", ALLOW, OTHER_KEY), request: { method: "POST", body: "x" } });
    expect(exchange.sentHead()).toContain("Azure-HMAC-SHA256 00000000-0000-0000-0000-000000000002 ");
  });

  test.each(["unreachable", "silent", "closed", "bad-response"] as const)(
    "a host that is %s gives 503 with Retry-After, never 502 or 504",
    async (cause) => {
      const failed: ForwardOutcome = { kind: "host-failed", cause, detail: "x" };
      const { exchange, end } = await handle({ request: { outcome: failed } });
      expect(exchange.answers[0]?.status).toBe(503);
      expect(exchange.answers[0]?.headers).toContainEqual(["Retry-After", "1"]);
      expect(end.reason).toBe(`host-${cause}`);
    },
  );

  test("a response that broke midway is not answered a second time", async () => {
    const { exchange, end } = await handle({ request: { outcome: { kind: "broken-midway", status: 200, detail: "x" } } });
    expect([exchange.answers.length, end.event, end.reason]).toEqual([0, "request-failed", "host-broke-midway"]);
  });

  test("the caller learns little: no rule, user or path in an answer", async () => {
    const { exchange } = await handle({ snapshot: snapshotOf("enforce", DENY) });
    const text = Buffer.from(exchange.answers[0]?.body ?? []).toString();
    expect(JSON.parse(text)).toEqual({
      error: "forbidden",
      error_description:
        "azure-proxy-agent on this machine denied this request (reason not-granted, request id id-1); explained by: sudo journalctl -u azure-proxy-agent -g id-1; what rules deny is listed by: sudo azure-proxy-agent report",
      correlation_id: "id-1",
      requestId: "id-1",
    });
  });
});
