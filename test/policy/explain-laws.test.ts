// Laws of the policy tools: what explains a decision comes to the component's own, what decides for the tools decides as the agent
// does, and rules that were written back are the same rules.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { perEndpoint } from "../../proxy/core/channel/key-status.ts";
import { Secret } from "../../proxy/core/channel/secret.ts";
import { NO_MODULES } from "../../proxy/core/modules/policy-chain.ts";
import type { Caller, Claims } from "../../proxy/core/request/caller.ts";
import { ENDPOINTS, type Endpoint } from "../../proxy/core/request/endpoint.ts";
import { MODES } from "../../proxy/core/request/verdict.ts";
import { parseRuleItem, renderRuleError } from "../../proxy/core/rules/rules.ts";
import { UNKNOWN_GUARDS } from "../../proxy/daemon/policy/guards.ts";
import { handleRequest, type RequestEnd } from "../../proxy/daemon/request/handle-request.ts";
import { type Answer, decideRequest } from "../../proxy/tools/policy/decide-request.ts";
import { explainRequest } from "../../proxy/tools/policy/explain-request.ts";
import { readCarriedRules, renderRuleItem } from "../../proxy/tools/policy/rule-item.ts";
import { agrees, traceRules } from "../../proxy/tools/policy/trace-rules.ts";
import { FakeExchange } from "../fakes/exchange.ts";
import { claimsOf } from "../support/claims.ts";
import { compilePolicy, loadPolicy, readCompiledRules } from "../support/policy-build.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { randomCaller, randomItem, randomRequest } from "../support/rule-cases.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SEED = 20_260_702;
const PATIENCE_MS = 240_000;

function load(item: unknown, endpoint: Endpoint = "imds") {
  const rules = parseRuleItem(item);
  if (!rules.ok) throw new Error(renderRuleError(rules.error));
  const component = compilePolicy(rules.value, endpoint);
  if (!component.ok) throw new Error(component.error.kind);
  const policy = loadPolicy(component.value);
  if (!policy.ok) throw new Error(policy.error.kind);
  return { rules: rules.value, policy: policy.value, component: component.value };
}

const ODD_TARGETS = [
  "/",
  "/a/../../b",
  "/a%2",
  "/a%00b",
  "/a%3Fb",
  "/caf%C3%A9",
  "/a\\b",
  "http://169.254.169.254/a",
  "http://168.63.129.16/a",
  "http://user@169.254.169.254/a",
  "https://169.254.169.254/a",
  "/vmAgentLog",
  "/machine/?comp=telemetrydata",
  "/machine/?comp=TelemetryData&x",
] as const;
const METHOD_WORDS = ["GET", "POST", "PUT", "get", "TRACE", "HEAD"] as const;

function randomTarget(random: Random): string {
  if (random.oneIn(3)) return random.pick(ODD_TARGETS);
  const { segments, query } = randomRequest(random).canonical;
  const pairs = query.map(({ name, value }) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  return `/${segments.map(encodeURIComponent).join("/")}${pairs.length === 0 ? "" : `?${pairs.join("&")}`}`;
}

/** The agent's own answer, by the function that answers requests. */
async function askAgent(
  endpoint: Endpoint,
  mode: (typeof MODES)[number],
  policy: ReturnType<typeof load>["policy"],
  method: string,
  target: string,
  claims: Claims,
) {
  const secret = new Secret(Buffer.alloc(32, 1));
  const key = { guid: "9cf81e97-0316-4ad3-94a7-8ccbdee8ccbf", incarnationId: 1, issued: "", secret };
  const guards = perEndpoint((each) => ({ ...UNKNOWN_GUARDS[each], mode, policy }));
  const exchange = new FakeExchange({ method, target });
  const ends: RequestEnd[] = [];
  const caller = { endpoint, claims, doubts: [] } as unknown as Caller;
  await handleRequest(
    exchange,
    { kind: "identified", caller },
    {
      snapshot: () => ({ epoch: 1, guards, modules: NO_MODULES, channel: { kind: "latched", key } }),
      hostDate: () => "Thu, 01 Jan 2026 00:00:00 GMT",
      nextRequestId: () => "id",
      monotonicMs: () => 0,
      readClock: () => ({ uptimeSeconds: 0, unixSeconds: 0 }),
      answerLocally: () => undefined,
      ended: (end) => ends.push(end),
    },
  );
  const [end] = ends;
  if (end === undefined) throw new Error("the agent told no end");
  const answer: Answer = end.event === "request-forwarded" ? (end.auditDeny ? "audit" : "allow") : "deny";
  return { answer, reason: end.reason, rule: end.verdict?.rule ?? "", status: answer === "deny" ? end.status : undefined };
}

describe(`policy tools (seed ${SEED})`, () => {
  test(
    "explain 20000 random requests by the component's own decision",
    () => {
      const random = seededRandom(SEED);
      const seen = new Map<string, number>();
      for (let set = 0; set < 400; set++) {
        const { rules, policy } = load(randomItem(random, { untidy: true }));
        for (let k = 0; k < 50; k++) {
          const claims = claimsOf(randomCaller(random));
          const request = randomRequest(random).canonical;
          const answer = policy.evaluate(request, claims);
          const { decision } = traceRules(rules, request, claims);
          if (!agrees(decision, answer)) throw new Error(`disagree: ${JSON.stringify({ set, k, request, decision, answer, rules })}`);
          seen.set(answer.reason, (seen.get(answer.reason) ?? 0) + 1);
        }
      }
      for (const reason of ["granted", "not-granted", "default-allow", "default-deny", "ambiguous-query"])
        expect([reason, (seen.get(reason) ?? 0) > 300]).toEqual([reason, true]);
    },
    PATIENCE_MS,
  );

  test(
    "decide 6000 random requests as the agent does, in every mode and on every endpoint",
    async () => {
      const random = seededRandom(SEED + 1);
      const seen = new Map<string, number>();
      for (let set = 0; set < 100; set++) {
        const endpoint = random.pick(ENDPOINTS as unknown as readonly [Endpoint, ...Endpoint[]]);
        const { rules, policy } = load(randomItem(random, { untidy: true }), endpoint);
        for (let k = 0; k < 60; k++) {
          const mode = random.pick(MODES);
          const target = randomTarget(random);
          const method = target === "/vmAgentLog" && random.oneIn(2) ? "PUT" : random.pick(METHOD_WORDS);
          const claims = claimsOf({ ...randomCaller(random), runAsElevated: random.oneIn(2) });
          const agent = await askAgent(endpoint, mode, policy, method, target, claims);
          const { answer, reason, rule, status } = decideRequest(endpoint, mode, policy, { method, target }, claims);
          expect({ target, method, endpoint, mode, answer, reason, rule, status }).toEqual({ target, method, endpoint, mode, ...agent });
          expect(explainRequest({ ...rules, mode }, endpoint, policy, { method, target }, claims).mismatch).toBeUndefined();
          seen.set(answer, (seen.get(answer) ?? 0) + 1);
          seen.set(reason, (seen.get(reason) ?? 0) + 1);
        }
      }
      for (const word of ["allow", "deny", "audit", "not-root", "exempt-upload", "ambiguous-target", "method-not-allowed", "granted"])
        expect([word, (seen.get(word) ?? 0) > 15]).toEqual([word, true]);
    },
    PATIENCE_MS,
  );

  test("write rules back as an item that compiles to the very same component", () => {
    const random = seededRandom(SEED + 2);
    for (let set = 0; set < 150; set++) {
      const { rules, component } = load(randomItem(random, { untidy: random.oneIn(2) }));
      const again = parseRuleItem(JSON.parse(JSON.stringify(renderRuleItem(rules))));
      if (!again.ok) throw new Error(renderRuleError(again.error));
      const { warnings } = rules;
      const compiled = compilePolicy({ ...again.value, warnings }, "imds");
      expect(compiled.ok && Buffer.compare(compiled.value, component) === 0).toBe(true);
    }
  });

  test("read back the rules that a component carries", () => {
    const random = seededRandom(SEED + 3);
    for (let set = 0; set < 50; set++) {
      const { rules, component } = load(randomItem(random, { untidy: true }));
      const carried = readCompiledRules(component);
      if (!carried.ok) throw new Error(carried.error.kind);
      const read = readCarriedRules(carried.value.rules);
      if (!read.ok) throw new Error(read.error);
      expect(JSON.stringify(read.value)).toBe(JSON.stringify(rules));
    }
  });
});
