// Laws of the table policy on random tables: with every fact known it does what a plain reading of the table says, and taking facts
// away never brings more than any caller who has them would get.

import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ComponentInstance } from "../../proxy/adapters/policy/component-instance.ts";
import type { PolicyAnswer, PolicyQuestion } from "../../proxy/core/modules/policy-question.ts";
import type { Claims } from "../../proxy/core/request/caller.ts";
import { buildExample, exampleFolder } from "../../scripts/build-modules.ts";
import { prepareModule } from "../support/module-cases.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

type Kind = PolicyAnswer["kind"];
const KINDS = ["allow", "deny", "abstain"] as const;
/** What is allowed, from the least to the most. */
const RANK: Readonly<Record<Kind, number>> = { deny: 0, abstain: 1, allow: 2 };

/** As a table writes it, and as we read it when every fact is known. */
interface Condition {
  readonly text: string;
  holds(question: PolicyQuestion): boolean;
}
interface Rule {
  readonly kind: Kind;
  readonly condition: Condition;
}

const query = (question: PolicyQuestion) => question.request.query.filter(({ name }) => name === "r").map(({ value }) => value);

/** Each with a fact that {@link makeQuestion} always knows. */
const TESTS: readonly [Condition, ...Condition[]] = [
  { text: 'user is "a"', holds: ({ claims }) => claims.userName === "a" },
  { text: 'user is "b", "c"', holds: ({ claims }) => claims.userName === "b" || claims.userName === "c" },
  { text: 'group is "g"', holds: ({ claims }) => claims.userGroups.includes("g") },
  { text: 'process is "p"', holds: ({ claims }) => claims.processName === "p" },
  { text: 'executable under "/opt/x"', holds: ({ claims }) => /^\/opt\/x(\/|$)/.test(claims.processFullPath ?? "") },
  { text: 'cgroup under "/system.slice"', holds: ({ claims }) => /^\/system\.slice(\/|$)/.test(claims.cgroupPath ?? "") },
  { text: `sha256 is "${"0".repeat(64)}"`, holds: ({ claims }) => claims.executableSha256 === "0".repeat(64) },
  { text: "elevated", holds: ({ claims }) => claims.runAsElevated },
  { text: 'path under "/a/b"', holds: ({ request }) => request.segments[0] === "a" && request.segments[1] === "b" },
  { text: 'path is "/a"', holds: ({ request }) => request.segments.join("/") === "a" },
  { text: "method is get, head", holds: ({ request }) => request.method === "GET" },
  { text: 'query "r" exists', holds: (question) => query(question).length > 0 },
  { text: 'query "r" is "1", "2"', holds: (question) => query(question).some((value) => value === "1" || value === "2") },
  { text: "uptime below 100", holds: ({ uptimeSeconds }) => uptimeSeconds < 100 },
  { text: "so-far is deny", holds: ({ soFar }) => soFar?.kind === "deny" },
];

function makeCondition(random: Random, depth: number): Condition {
  if (depth === 0 || random.oneIn(3)) return random.pick(TESTS);
  if (random.oneIn(3)) {
    const inner = makeCondition(random, depth - 1);
    return { text: `not (${inner.text})`, holds: (question) => !inner.holds(question) };
  }
  const parts = random.list(2, 3, () => makeCondition(random, depth - 1));
  const texts = parts.map(({ text }) => `(${text})`);
  return random.oneIn(2)
    ? { text: texts.join(" and "), holds: (question) => parts.every((part) => part.holds(question)) }
    : { text: texts.join(" or "), holds: (question) => parts.some((part) => part.holds(question)) };
}

function makeQuestion(random: Random): PolicyQuestion {
  const value = random.pick(["1", "2", "3"]);
  const path = random.pick(["/opt/x/p", "/opt/x/q", "/opt/xx/p", "/usr/bin/q"]);
  const claims: Claims = {
    processId: 1,
    userId: 1,
    runAsElevated: random.oneIn(3),
    userName: random.pick(["a", "b", "c", "d"]),
    userGroups: random.pick([["g"], ["h"], ["h", "g"]]),
    processFullPath: path,
    processName: path.slice(path.lastIndexOf("/") + 1),
    executableSha256: random.pick(["0", "1"]).repeat(64),
    processCmdLine: "",
    cgroupId: 1n,
    cgroupPath: random.pick(["/system.slice/a.service", "/system.slice-x/a", "/docker/1"]),
    clientAddress: "127.0.0.1",
    clientPort: 1,
  };
  return {
    request: {
      endpoint: "imds",
      method: random.pick(["GET", "POST"]),
      segments: random.pick([["a"], ["a", "b"], ["a", "b", "c"], ["a", "bb"], []]),
      trailingSlash: false,
      query: random.oneIn(2) ? [] : [{ name: "r", value }],
    },
    claims,
    headers: [],
    uptimeSeconds: random.pick([1, 99, 100, 5000]),
    unixSeconds: 1,
    soFar: { kind: random.pick(KINDS), reason: "granted", rule: "", labels: [] },
  };
}

/** The same question with some facts unknown, and with parameters whose reading is unsure. */
function withDoubt(random: Random, question: PolicyQuestion): PolicyQuestion {
  const lose = <Value, Nothing>(value: Value, nothing: Nothing) => (random.oneIn(2) ? nothing : value);
  const { claims, request } = question;
  const executable = random.oneIn(2);
  return {
    ...question,
    request: request.query.length > 0 && random.oneIn(3) ? { ...request, query: [...request.query, { name: "r", value: "4" }] } : request,
    claims: {
      ...claims,
      userName: lose(claims.userName, undefined),
      userGroups: lose(claims.userGroups, []),
      processFullPath: executable ? undefined : claims.processFullPath,
      processName: executable ? undefined : claims.processName,
      executableSha256: lose(claims.executableSha256, undefined),
      cgroupPath: lose(claims.cgroupPath, undefined),
    },
    uptimeSeconds: lose(question.uptimeSeconds, 0),
    soFar: lose(question.soFar, undefined),
  };
}

function readPlainly(rules: readonly Rule[], fallback: Kind, question: PolicyQuestion): Kind {
  return rules.find(({ condition }) => condition.holds(question))?.kind ?? fallback;
}

describe("table-policy", () => {
  let start: () => ComponentInstance;
  beforeAll(async () => {
    buildExample("table-policy");
    start = await prepareModule(readFileSync(join(exampleFolder("table-policy"), "policy.wasm")));
  }, 240_000);

  test.each([1, 2, 3])("T-138: does what the table says, and in doubt never more (seed %p)", (seed) => {
    const random = seededRandom(seed);
    let inDoubt = 0;
    for (let i = 0; i < 60; i++) {
      const rules = random.list(1, 5, (): Rule => ({ kind: random.pick(KINDS), condition: makeCondition(random, 3) }));
      const fallback = random.pick(KINDS);
      const table = `${rules.map(({ kind, condition }, n) => `${kind} r${n} when ${condition.text}`).join("\n")}\ndefault ${fallback}\n`;
      const instance = start();
      expect(instance.configure(new TextEncoder().encode(table))).toEqual({ ok: true, value: undefined });
      const ask = (question: PolicyQuestion): Kind => {
        const answer = instance.evaluate(question);
        if (!answer.ok) throw new Error(`${answer.error.message} on ${table}`);
        return answer.value.kind;
      };
      for (let k = 0; k < 20; k++) {
        const known = makeQuestion(random);
        const whole = ask(known);
        if (whole !== readPlainly(rules, fallback, known)) throw new Error(`${whole} to ${JSON.stringify(known.request)} by\n${table}`);
        const part = ask(withDoubt(random, known));
        if (RANK[part] > RANK[whole]) throw new Error(`${part} in doubt, ${whole} when known, by\n${table}`);
        if (part !== whole) inDoubt++;
      }
    }
    expect(inDoubt).toBeGreaterThan(20);
  });
});
