// Metering must change nothing but the price: metered and original modules side by side, on random programs, on the rules engine with
// random requests.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { parse } from "@bytecodealliance/jco";
import { compileComponent, startComponent } from "../../proxy/adapters/policy/component-instance.ts";
import { budgetsFor, DEFAULT_BUDGETS } from "../../proxy/core/modules/module-budgets.ts";
import { parseRuleItem } from "../../proxy/core/rules/rules.ts";
import { ByteReader } from "../../proxy/core/wasm/byte-reader.ts";
import { CompilerMemory } from "../../proxy/core/wasm/compiler-memory.ts";
import { DEFAULT_PREPARATION_LIMITS } from "../../proxy/core/wasm/core-limits.ts";
import { readCoreModule } from "../../proxy/core/wasm/core-module.ts";
import { FUEL_IMPORT, meterModule } from "../../proxy/core/wasm/meter-module.ts";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { claimsOf } from "../support/claims.ts";
import { compilePolicy, loadPolicy } from "../support/policy-build.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { randomWat, UNITS_PER_TICK } from "../support/random-wat.ts";
import { randomItem, randomRequest } from "../support/rule-cases.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const PROGRAMS = Number(process.env.PROGRAMS ?? 150);
const SEED = Number(process.env.SEED ?? 1);
const FUEL = 10_000_000_000n;

type Run = (a: number, b: bigint, c: number) => number;

interface Running {
  readonly run: Run;
  readonly memory: WebAssembly.Memory;
  readonly ticks: WebAssembly.Global<"i64">;
  readonly state: WebAssembly.Global<"i32">;
  readonly level: WebAssembly.Global<"f64">;
}

function instantiate(bytes: Uint8Array, imports: Record<string, Record<string, WebAssembly.Global>>): Running {
  return new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes)), imports).exports as unknown as Running;
}

function meter(core: Uint8Array) {
  const module = readCoreModule(new ByteReader(core), DEFAULT_PREPARATION_LIMITS);
  return meterModule(core, module, DEFAULT_PREPARATION_LIMITS, new CompilerMemory());
}

function observe({ run, memory, ticks, state, level }: Running, input: readonly [number, bigint, number]) {
  let result: unknown;
  try {
    result = run(...input);
  } catch (error) {
    result = error instanceof Error ? error.message.replace(/ \(evaluating.*/, "") : "threw";
  }
  return { result, ticks: ticks.value, state: state.value, level: level.value, memory: Bun.hash(new Uint8Array(memory.buffer)) };
}

function inputsOf(random: Random): readonly (readonly [number, bigint, number])[] {
  return random.list(3, 5, () => [random.below(2 ** 32) | 0, BigInt(random.below(2 ** 32)) - 100n, random.below(1000) / 16 - 3] as const);
}

describe("metered modules", () => {
  test(`give the answers of the originals, and pay for what ran (seed ${SEED}, ${PROGRAMS} programs)`, async () => {
    const random = seededRandom(SEED);
    let spentAny = 0;
    let returned = 0;
    for (let i = 0; i < PROGRAMS; i++) {
      const wat = randomWat(random);
      const core = await parse(wat);
      const metered = meter(core);
      const fuel = new WebAssembly.Global({ value: "i64", mutable: true }, FUEL);
      const original = instantiate(core, {});
      const changed = instantiate(metered.bytes, { [FUEL_IMPORT.module]: { [FUEL_IMPORT.name]: fuel } });
      for (const input of inputsOf(random)) {
        fuel.value = FUEL;
        const before = original.ticks.value;
        const wanted = observe(original, input);
        const found = observe(changed, input);
        if (!Bun.deepEquals(found, wanted))
          throw new Error(`program ${i} on ${input}: found ${Bun.inspect(found)}, want ${Bun.inspect(wanted)}\n${wat}`);
        const spent = Number(FUEL - fuel.value);
        const ran = Number(wanted.ticks - before);
        if (spent < ran * UNITS_PER_TICK) throw new Error(`program ${i} on ${input}: ${ran} ticks for ${spent} units\n${wat}`);
        if (ran > 0) spentAny++;
        if (typeof wanted.result === "number") returned++;
      }
    }
    // Or the programs have become too dull to show anything.
    expect(spentAny).toBeGreaterThan(PROGRAMS);
    expect(returned).toBeGreaterThan(PROGRAMS);
  }, 300_000);

  test("with too little fuel a program ends early, and never with another answer", async () => {
    const random = seededRandom(SEED + 1);
    for (let i = 0; i < 20; i++) {
      const core = await parse(randomWat(random));
      const metered = meter(core);
      const fuel = new WebAssembly.Global({ value: "i64", mutable: true }, 0n);
      const imports = { [FUEL_IMPORT.module]: { [FUEL_IMPORT.name]: fuel } };
      const wanted = observe(instantiate(core, {}), [5, 6n, 0.5]);
      for (const given of [0n, 10n, 100n, 1_000n, 10_000n]) {
        fuel.value = given;
        const found = observe(instantiate(metered.bytes, imports), [5, 6n, 0.5]);
        if (fuel.value >= 0n) expect(found).toEqual(wanted);
        else expect(typeof found.result).toBe("string");
      }
    }
  });
});

describe("the rules engine", () => {
  test("metered, it decides as it does unmetered", async () => {
    const random = seededRandom(SEED + 2);
    for (let i = 0; i < 15; i++) {
      const rules = parseRuleItem(randomItem(random, { untidy: true }));
      if (!rules.ok) throw new Error("internal error: unusable rules");
      const component = compilePolicy(rules.value, "imds");
      if (!component.ok) throw new Error(component.error.kind);
      const original = loadPolicy(component.value);
      const prepared = prepareComponent(component.value);
      if (!original.ok || !prepared.ok) throw new Error("internal error: the engine is refused");
      const compiled = await compileComponent(prepared.value.prepared);
      const started = compiled.ok ? startComponent(compiled.value, budgetsFor(DEFAULT_BUDGETS, 1)) : compiled;
      if (!started.ok) throw new Error(started.error.message);
      expect(started.value.configure(new Uint8Array())).toEqual({ ok: true, value: undefined });
      for (let asked = 0; asked < 40; asked++) {
        const { canonical: request } = randomRequest(random);
        const claims = claimsOf({ userName: random.pick(["alice", "bob"]), userGroups: random.oneIn(2) ? ["readers"] : [] });
        const { kind, reason, rule } = original.value.evaluate(request, claims);
        const answer = started.value.evaluate({ request, claims, headers: [], uptimeSeconds: 0, unixSeconds: 0, soFar: undefined });
        expect(answer).toMatchObject({ ok: true, value: { kind, reason, rule } });
      }
    }
  });
});
