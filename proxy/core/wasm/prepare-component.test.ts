import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { instantiatePlan } from "../../../test/support/plan-instance.ts";
import { prepareComponent } from "./prepare-component.ts";

const ENGINE = new Uint8Array(readFileSync(join(import.meta.dir, "../../../build/policy/engine.component.wasm")));

function prepared(bytes: Uint8Array) {
  const result = prepareComponent(bytes);
  if (!result.ok) throw new Error(result.error.message);
  return result.value;
}

describe("prepareComponent", () => {
  test("takes the rules engine's component and says what is in it", () => {
    const { prepared: component, facts } = prepared(ENGINE);
    expect(component.plan.worldVersion).toBe("1.0.0");
    expect(component.plan.moduleCount).toBe(1);
    expect(component.plan.evaluate.function.name).toBe("azure:proxy-agent-policy/authorizer@1.0.0#evaluate");
    expect(facts).toMatchObject({ bytes: ENGINE.length, nestedComponents: 1, encoding: "utf8", coreInstances: 1 });
    expect(facts.producers.some((line) => line.startsWith("processed-by wit-component"))).toBe(true);
    expect(facts.modules[0]?.checkpoints).toBeGreaterThan(10);
  });

  test("what it made runs, and spends fuel that the host gave", () => {
    const { prepared: component } = prepared(ENGINE);
    const { plan } = component;
    const instance = instantiatePlan(component);
    const settings = instance.call(plan.configure.realloc, 0, 0, 1, 8);
    instance.fuel.value = 1_000_000n;
    expect(instance.call(plan.configure.function, Number(settings), 0)).toBeNumber();
    expect(instance.fuel.value).toBeLessThan(1_000_000n);
    expect(instance.fuel.value).toBeGreaterThan(900_000n);
    instance.fuel.value = 10n;
    expect(() => instance.call(plan.configure.function, Number(settings), 0)).toThrow();
    expect(instance.fuel.value).toBeLessThan(0n);
  });

  test("refuses every prefix of a component, and names an offset in it", () => {
    for (let length = 0; length < ENGINE.length; length += 1 + (length % 7)) {
      const result = prepareComponent(ENGINE.subarray(0, length));
      expect(result.ok).toBe(false);
      if (!result.ok) {
        expect(result.error.offset).toBeLessThanOrEqual(length);
        expect(result.error.message).toContain(`at offset ${result.error.offset}`);
      }
    }
  });

  test("refuses a plain core module", () => {
    const result = prepareComponent(Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00));
    expect(result).toMatchObject({ ok: false, error: { kind: "malformed", offset: 4 } });
  });
});
