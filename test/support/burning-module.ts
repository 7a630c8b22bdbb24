// A policy module that obeys whoever calls it: PUT never ends, OPTIONS burns nearly the whole budget of a call and abstains, DELETE
// is denied at once, and on every other method it abstains. Its work is slow for its fuel: loads that wait for each other, all over its memory, so that no compiler and
// no cache can shorten it.

import { compileComponent, startComponent } from "../../proxy/adapters/policy/component-instance.ts";
import { budgetsFor, DEFAULT_BUDGETS, DEFAULT_FUEL } from "../../proxy/core/modules/module-budgets.ts";
import type { PolicyQuestion } from "../../proxy/core/modules/policy-question.ts";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { claimsOf } from "./claims.ts";
import { componentFromModuleWat } from "./module-wat.ts";

const PUT = 3;
const DELETE = 4;
const OPTIONS = 5;
const CHAIN =
  "(local.set $x (i32.load (i32.and (i32.mul (i32.add (local.get $x) (local.get $left)) (i32.const 0x9E3779B1)) (i32.const 0x7ffffc))))".repeat(
    20,
  );
const PROBE_TURNS = 1_000;
/** Of the default budget. */
const BURNT_SHARE = 0.98;

function moduleOf(turns: number): Promise<Uint8Array> {
  return componentFromModuleWat({
    memory: "128 128",
    evaluate: `(local $method i32) (local $left i32) (local $x i32)
      (local.set $method (i32.load8_u offset=1 (local.get 0)))
      (if (i32.eq (local.get $method) (i32.const ${PUT})) (then (loop $ever ${CHAIN} (local.set $left (i32.add (local.get $left) (i32.const 1))) (br $ever))))
      (if (i32.eq (local.get $method) (i32.const ${OPTIONS}))
        (then (local.set $left (i32.const ${turns}))
          (loop $more ${CHAIN} (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
          (i32.store (i32.const 600) (local.get $x))))
      (i32.store8 (i32.const 512) (i32.sub (i32.const 2) (i32.eq (local.get $method) (i32.const ${DELETE}))))
      (i32.store (i32.const 516) (i32.const 1024)) (i32.store (i32.const 520) (i32.const 4))
      (i32.const 512)`,
  });
}

/** @returns the component, with the work measured so that it fits the default budget */
export async function burningComponent(): Promise<Uint8Array> {
  const spent = (await fuelOf(await moduleOf(PROBE_TURNS))) - (await fuelOf(await moduleOf(1)));
  return moduleOf(Math.floor((BURNT_SHARE * DEFAULT_FUEL.oneCoreModule * PROBE_TURNS) / spent));
}

async function fuelOf(component: Uint8Array): Promise<number> {
  const prepared = prepareComponent(component);
  if (!prepared.ok) throw new Error(prepared.error.message);
  const compiled = await compileComponent(prepared.value.prepared);
  if (!compiled.ok) throw new Error(compiled.error.message);
  const instance = startComponent(compiled.value, budgetsFor(DEFAULT_BUDGETS, 1));
  if (!instance.ok) throw new Error(instance.error.message);
  const answer = instance.value.evaluate(OPTIONS_QUESTION);
  if (!answer.ok) throw new Error(answer.error.message);
  return instance.value.fuelSpent();
}

const OPTIONS_QUESTION: PolicyQuestion = {
  request: { endpoint: "imds", method: "OPTIONS", segments: ["metadata"], trailingSlash: false, query: [] },
  claims: claimsOf({ userName: "alice" }),
  headers: [],
  uptimeSeconds: 0,
  unixSeconds: 0,
  soFar: undefined,
};
