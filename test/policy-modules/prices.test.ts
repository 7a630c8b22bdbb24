// What the dear instructions cost: those that leave the machine code, touch much memory or are slow for some operands must be priced far above
// an addition. test/bench/meter-bench.ts compares the prices with what they take.

import { describe, expect, test } from "bun:test";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { componentFromModuleWat } from "../support/module-wat.ts";
import { instantiatePlan } from "../support/plan-instance.ts";
import { once, PRICED } from "../support/priced-instructions.ts";

const FUEL = 10_000_000n;

/** Units that running the kind once takes. */
async function priceOf(kind: string): Promise<number> {
  const wanted = PRICED[kind];
  if (wanted === undefined) throw new Error(`internal error: there is no kind "${kind}"`);
  const spent = async (times: number): Promise<number> => {
    const prepared = prepareComponent(await componentFromModuleWat(once(wanted, times)));
    if (!prepared.ok) throw new Error(prepared.error.message);
    const component = prepared.value.prepared;
    const instance = instantiatePlan(component, FUEL);
    instance.fuel.value = FUEL;
    instance.call(component.plan.evaluate.function, 0);
    return Number(FUEL - instance.fuel.value);
  };
  return (await spent(2)) - (await spent(1));
}

describe("prices", () => {
  test.each([
    ["call", 18],
    ["call with 12 parameters", 40],
    ["call of a function with 2,000 locals", 2_000],
    ["recursion", 25_000],
    ["recursion with values", 25_000],
    ["call_indirect", 29],
    ["ref.func", 18],
    ["ref.func into a global", 34],
    ["a reference into a global", 18],
    ["table.get", 18],
    ["table.set", 80],
    ["table.grow", 3_150],
    ["table.fill", 64 * 64],
    ["table.copy", 63 * 64],
    ["table.init", 60 * 64],
    ["table.init of nothing", 150],
    ["elem.drop", 150],
    ["memory.grow of nothing", 3_000],
    ["memory.fill of nothing", 150],
    ["memory.fill", 2_097_152],
    ["memory.copy", 2_097_151],
    ["i32.div_u", 13],
    ["i64.rem_u", 13],
    ["f64.div", 60],
    ["f64.sqrt", 60],
    ["f64.mul", 16],
    ["f64.min", 5],
    ["f32.demote_f64", 16],
    ["i64.trunc_f64_u", 4],
    ["i64.trunc_sat_f64_u", 4],
    ["i64.load", 9],
    ["i64.store", 9],
    ["a loop's head", 6],
  ])("T-153: %s costs at least %i units", async (kind, atLeast) => {
    expect(await priceOf(kind)).toBeGreaterThanOrEqual(atLeast);
  });

  test("T-153: an addition costs no more than its operands and itself", async () => {
    expect(await priceOf("i32.add")).toBeLessThanOrEqual(4);
  });
});
