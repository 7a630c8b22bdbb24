import { describe, expect, test } from "bun:test";
import { moduleEntry } from "../../../test/support/module-entry.ts";
import { seededRandom } from "../../../test/support/random.ts";
import { BUDGET_LIMITS, budgetsFor, DEFAULT_BUDGETS, parseBudgets } from "./module-budgets.ts";
import type { ModuleEntry } from "./module-entry.ts";
import { MAX_MODULES, parseModuleIndex, referencedObjects, renderModuleIndex } from "./module-index.ts";

const HASH = { a: "a".repeat(64), b: "b".repeat(64), c: "c".repeat(64), d: "d".repeat(64) };
const ENTRY = moduleEntry({ name: "container-guard", headers: ["metadata"] });
const SIGNED: ModuleEntry = { ...ENTRY, name: "signed", signedBy: "0123456789ABCDEF", signatureSha256: HASH.d, pinned: true };

function read(json: unknown): string {
  const text = typeof json === "string" ? json : JSON.stringify(json);
  const parsed = parseModuleIndex(Buffer.from(text));
  return parsed.ok ? `${parsed.value.length} modules` : parsed.error;
}

function withMember(members: Readonly<Record<string, unknown>>): unknown {
  const [base] = JSON.parse(renderModuleIndex([ENTRY])).modules;
  return { version: 1, modules: [{ ...base, ...members }] };
}

describe("module index", () => {
  test("what is rendered is read again, in the same order", () => {
    const entries = [SIGNED, ENTRY, { ...ENTRY, name: "x", endpoints: ["hostga", "wireserver"] as const, headers: [], audit: true }];
    const parsed = parseModuleIndex(Buffer.from(renderModuleIndex(entries)));
    expect(parsed).toEqual({ ok: true, value: entries });
    expect(read(renderModuleIndex([]))).toBe("0 modules");
  });

  test("names the contents that must be there", () => {
    expect([...referencedObjects([ENTRY])]).toEqual([HASH.a, HASH.b, HASH.c]);
    expect([...referencedObjects([ENTRY, SIGNED])]).toEqual([HASH.a, HASH.b, HASH.c, HASH.d]);
  });

  test.each([
    ["", "found nothing"],
    ["[]", "want an object"],
    ['{"version":1}', "modules to be a list"],
    ['{"version":2,"modules":[]}', "version 1"],
    ['{"version":"1","modules":[]}', "version 1"],
    ['{"version":1,"modules":[],"more":1}', 'unknown member "more"'],
    ['{"version":1,"modules":[],"modules":[]}', ""],
    ['{"version":1,"modules":[null]}', "/modules/0: want an object"],
    ['{"version":1,"modules":[{}]}', "/modules/0: found no name"],
  ])("T-121: refuses %p", (text, message) => {
    const parsed = parseModuleIndex(Buffer.from(text));
    expect(parsed.ok).toBe(false);
    if (message !== "found nothing") expect(read(text)).toContain(message);
  });

  test.each([
    ["name", ""],
    ["name", "Upper"],
    ["name", "-x"],
    ["name", "a/../b"],
    ["name", "x".repeat(64)],
    ["name", 7],
    ["enabled", "true"],
    ["enabled", null],
    ["audit", 1],
    ["pinned", "no"],
    ["endpoints", []],
    ["endpoints", ["moon"]],
    ["endpoints", ["imds", "imds"]],
    ["endpoints", "imds"],
    ["headers", ["Metadata"]],
    ["headers", ["a b"]],
    ["headers", [""]],
    ["headers", ["a", "a"]],
    ["headers", Array.from({ length: 33 }, (_, i) => `h${i}`)],
    ["budgets", {}],
    ["budgets", { ...DEFAULT_BUDGETS, fuel: 0 }],
    ["budgets", { ...DEFAULT_BUDGETS, fuel: "1000000" }],
    ["budgets", { ...DEFAULT_BUDGETS, fuel: 10_000.5 }],
    ["budgets", { ...budgetsFor(DEFAULT_BUDGETS, 1), memoryBytes: 65537 }],
    ["budgets", { ...budgetsFor(DEFAULT_BUDGETS, 1), reasonBytes: 257 }],
    ["budgets", { ...budgetsFor(DEFAULT_BUDGETS, 1), more: 1 }],
    ["componentSha256", HASH.a.toUpperCase()],
    ["preparedSha256", "../../etc/shadow"],
    ["settingsSha256", `${HASH.a}0`],
    ["worldVersion", "1.0"],
    ["worldVersion", "01.0.0"],
    ["signedBy", "0123456789ABCDEF"],
    ["signatureSha256", HASH.d],
    ["unknown", true],
  ])("T-121: refuses an entry with %s %p", (member, value) => {
    expect(read(withMember({ [member]: value }))).toStartWith("/modules/0");
  });

  test("T-121: refuses a signature without its key and the other way round", () => {
    expect(read(withMember({ signedBy: "0123456789abcdef", signatureSha256: HASH.d }))).toContain("/signedBy");
    expect(read(withMember({ signedBy: "0123456789ABCDEF", signatureSha256: "x" }))).toContain("/signatureSha256");
    expect(read(withMember({ signedBy: "0123456789ABCDEF", signatureSha256: HASH.d }))).toBe("1 modules");
  });

  test("T-121: refuses one name twice, and more modules than there may be", () => {
    expect(read(renderModuleIndex([ENTRY, { ...ENTRY, audit: true }]))).toContain('the name "container-guard" is there twice');
    const many = Array.from({ length: MAX_MODULES + 1 }, (_, i) => ({ ...ENTRY, name: `m${i}` }));
    expect(read(renderModuleIndex(many))).toContain(`at most ${MAX_MODULES}`);
    expect(read(renderModuleIndex(many.slice(1)))).toBe(`${MAX_MODULES} modules`);
  });

  test("no bytes make it throw, and what it takes renders to the same list", () => {
    const random = seededRandom(20260411);
    const good = renderModuleIndex([ENTRY, SIGNED]);
    for (let round = 0; round < 2_000; round++) {
      const bytes = Buffer.from(good);
      for (let n = 1 + random.below(4); n > 0; n--) bytes[random.below(bytes.length)] = random.below(256);
      const parsed = parseModuleIndex(random.oneIn(4) ? bytes.subarray(0, random.below(bytes.length)) : bytes);
      if (parsed.ok) expect(parseModuleIndex(Buffer.from(renderModuleIndex(parsed.value)))).toEqual(parsed);
    }
  });
});

describe("module budgets", () => {
  test("take what is missing from the defaults", () => {
    expect(parseBudgets({}, DEFAULT_BUDGETS)).toEqual({ ok: true, value: DEFAULT_BUDGETS });
    expect([budgetsFor(DEFAULT_BUDGETS, 1).fuel, budgetsFor(DEFAULT_BUDGETS, 13).fuel]).toEqual([2_000_000, 10_000_000]);
    expect([1, 13].map((modules) => budgetsFor({ ...DEFAULT_BUDGETS, fuel: 5_000_000 }, modules).fuel)).toEqual([5_000_000, 5_000_000]);
    expect(parseBudgets({ fuel: 100_000_000 }, DEFAULT_BUDGETS)).toEqual({ ok: true, value: { ...DEFAULT_BUDGETS, fuel: 100_000_000 } });
  });

  test.each(Object.entries(BUDGET_LIMITS))("%s is held to its hard limits", (name, { least, most, multipleOf }) => {
    for (const value of [least, most]) expect(parseBudgets({ [name]: value }, DEFAULT_BUDGETS).ok).toBe(true);
    for (const value of [least - multipleOf, most + multipleOf, -1, Number.NaN, Number.POSITIVE_INFINITY, null, `${least}`]) {
      const parsed = parseBudgets({ [name]: value }, DEFAULT_BUDGETS);
      expect(parsed.ok ? "taken" : parsed.error.member).toBe(name);
    }
  });
});
