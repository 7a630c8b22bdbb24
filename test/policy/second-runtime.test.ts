// A compiled rule set is an ordinary component: another WebAssembly engine must come to the same answers. Node stands for the
// others here (V8, where Bun has JavaScriptCore). scripts/setup installs it for tests; without it this fails and says so.

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PolicyDecision } from "../../proxy/core/ports.ts";
import { parseRuleItem } from "../../proxy/core/rules/rules.ts";
import { extractCoreModule } from "../../proxy/core/wasm/wasm-binary.ts";
import { claimsOf } from "../support/claims.ts";
import { toWitCaller, toWitRequest } from "../support/jco-glue.ts";
import { compilePolicy, loadPolicy } from "../support/policy-build.ts";
import { seededRandom } from "../support/random.ts";
import { randomCaller, randomItem, randomRequest } from "../support/rule-cases.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SEED = 20_260_401;
const RULE_SETS = 40;
const CALLS = 50;
const PATIENCE_MS = 240_000;

const folder = mkdtempSync(join(tmpdir(), "second-runtime-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Rule sets and calls, with Bun's answers. */
function makeCases() {
  const random = seededRandom(SEED);
  const answers: PolicyDecision[][] = [];
  const policies = Array.from({ length: RULE_SETS }, (_, set) => {
    const rules = parseRuleItem(randomItem(random, { untidy: true }));
    if (!rules.ok) throw new Error(rules.error.kind);
    const component = compilePolicy(rules.value, "imds");
    if (!component.ok) throw new Error(component.error.kind);
    const policy = loadPolicy(component.value);
    if (!policy.ok) throw new Error(policy.error.kind);
    const bytes = extractCoreModule(component.value);
    if (!bytes.ok) throw new Error(bytes.error.kind);
    const core = join(folder, `${set}.wasm`);
    writeFileSync(core, bytes.value);
    const asked = Array.from({ length: CALLS }, () => ({
      request: randomRequest(random).canonical,
      claims: claimsOf(randomCaller(random)),
    }));
    answers.push(asked.map(({ request, claims }) => policy.value.evaluate(request, claims)));
    return { core, calls: asked.map(({ request, claims }) => ({ request: toWitRequest(request), caller: toWitCaller(claims) })) };
  });
  return { policies, answers };
}

test(
  `V8 gives the same ${RULE_SETS * CALLS} answers (seed ${SEED})`,
  async () => {
    const node = Bun.which("node");
    if (node === null) throw new Error('cannot compare runtimes: there is no node on PATH, run "scripts/setup test" first');
    const { policies, answers } = makeCases();
    const glue = join(import.meta.dir, "../../build/policy/glue/policy.js");
    const file = join(folder, "cases.json");
    writeFileSync(
      file,
      JSON.stringify({ glue, policies }, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)),
    );
    const run = Bun.spawn([node, join(import.meta.dir, "../support/second-runtime.mjs"), file], { stdout: "pipe", stderr: "pipe" });
    const [out, trouble, code] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text(), run.exited]);
    expect([code, trouble]).toEqual([0, ""]);
    const { engine, outcomes } = JSON.parse(out);
    // Bun can stand in for node on PATH, and would only agree with itself.
    expect(engine).toBe("v8");
    expect(outcomes).toEqual(answers);
    const reasons = new Set(answers.flat().map(({ reason }) => reason));
    expect(reasons).toEqual(new Set(["granted", "not-granted", "default-allow", "default-deny", "ambiguous-query"]));
  },
  PATIENCE_MS,
);
