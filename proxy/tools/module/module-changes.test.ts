import { describe, expect, test } from "bun:test";
import { moduleEntry } from "../../../test/support/module-entry.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import { editModules, moveModule, type Placing, pinModule, placeModule, removeModules } from "./module-changes.ts";

function entry(name: string, more: Partial<ModuleEntry> = {}): ModuleEntry {
  return moduleEntry({ name, ...more });
}

const LIST = [entry("a"), entry("b"), entry("c")];
const SIGNED = { signedBy: "0123456789ABCDEF", signatureSha256: "d".repeat(64) };
const OTHER = { componentSha256: "e".repeat(64) };

function placing(more: Partial<Placing> = {}): Placing {
  return { place: { kind: "keep" }, replace: false, giveUpSignature: false, ...more };
}

function names(result: ReturnType<typeof moveModule>): string {
  return result.ok ? result.value.map(({ name }) => name).join("") : result.error;
}

describe("placeModule", () => {
  test("puts a new module last, first, or before another", () => {
    expect(names(placeModule(LIST, entry("x"), placing()))).toBe("abcx");
    expect(names(placeModule(LIST, entry("x"), placing({ place: { kind: "first" } })))).toBe("xabc");
    expect(names(placeModule(LIST, entry("x"), placing({ place: { kind: "before", name: "b" } })))).toBe("axbc");
    expect(names(placeModule(LIST, entry("x"), placing({ place: { kind: "before", name: "y" } })))).toContain("no such other module");
    expect(names(placeModule(LIST, entry("x"), placing({ place: { kind: "before", name: "x" } })))).toContain("no such other module");
  });

  test("replaces only when told so, in its place", () => {
    expect(names(placeModule(LIST, entry("b"), placing()))).toContain("--replace");
    const replaced = placeModule(LIST, entry("b", OTHER), placing({ replace: true }));
    expect(names(replaced)).toBe("abc");
    expect(replaced.ok && replaced.value[1]?.componentSha256).toBe(OTHER.componentSha256);
    expect(names(placeModule(LIST, entry("b"), placing({ replace: true, place: { kind: "last" } })))).toBe("acb");
  });

  test("T-125: a pinned module is not replaced by another component, nor removed", () => {
    const pinned = [entry("a", { pinned: true })];
    expect(names(placeModule(pinned, entry("a", OTHER), placing({ replace: true, giveUpSignature: true })))).toContain(
      "it is pinned to aaaa",
    );
    expect(names(placeModule(pinned, entry("a"), placing({ replace: true })))).toBe("a");
    expect(names(removeModules(pinned, ["a"]))).toContain("it is pinned to aaaa");
  });

  test("T-125: a signature is not lost by accident", () => {
    const signed = [entry("a", SIGNED)];
    expect(names(placeModule(signed, entry("a", OTHER), placing({ replace: true })))).toContain("is signed by key 0123456789ABCDEF");
    expect(names(placeModule(signed, entry("a", { ...OTHER, ...SIGNED }), placing({ replace: true })))).toBe("a");
    expect(names(placeModule(signed, entry("a", OTHER), placing({ replace: true, giveUpSignature: true })))).toBe("a");
  });

  test("there is an end to how many", () => {
    const many = Array.from({ length: 64 }, (_, i) => entry(`m${i}`));
    expect(names(placeModule(many, entry("x"), placing()))).toContain("64 modules");
    expect(placeModule(many, entry("m7"), placing({ replace: true })).ok).toBe(true);
  });
});

describe("changes of the list", () => {
  test("moves, removes and edits what is named, and says what is not there", () => {
    expect(names(moveModule(LIST, "c", { kind: "before", name: "a" }))).toBe("cab");
    expect(names(moveModule(LIST, "a", { kind: "last" }))).toBe("bca");
    expect(names(moveModule(LIST, "a", { kind: "before", name: "a" }))).toContain("no such other module");
    expect(names(removeModules(LIST, ["a", "c"]))).toBe("b");
    expect(names(removeModules(LIST, ["a", "z"]))).toContain('cannot find module "z": installed are a, b, c');
    expect(names(removeModules([], ["z"]))).toContain("no modules are installed");
    const disabled = editModules(LIST, ["b"], (each) => ({ ok: true, value: { ...each, enabled: false } }));
    expect(disabled.ok && disabled.value.map(({ enabled }) => enabled)).toEqual([true, false, true]);
  });

  test("T-125: pins only the component that the operator knows", () => {
    expect(pinModule(entry("a"), "e".repeat(64)).ok).toBe(false);
    for (const wanted of [undefined, "a".repeat(64)]) {
      const pinned = pinModule(entry("a"), wanted);
      expect(pinned.ok && pinned.value.pinned).toBe(true);
    }
  });
});
