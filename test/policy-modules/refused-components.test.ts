import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { parse, print } from "@bytecodealliance/jco";
import type { ComponentRefusal } from "../../proxy/core/wasm/component-plan.ts";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { componentFromModuleWat } from "../support/module-wat.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const AUTHORIZER = "azure:proxy-agent-policy/authorizer@1.0.0";
let text = "";

beforeAll(async () => {
  text = await print(await componentFromModuleWat({}));
});

/** The component's text with one thing changed everywhere, as a component again. */
async function changed(from: string | RegExp, to: string): Promise<Uint8Array> {
  const other = text.replaceAll(typeof from === "string" ? from : new RegExp(from, "g"), () => to);
  if (other === text) throw new Error(`nothing to change: ${from}`);
  return parse(other);
}

/** The component's text with something put before its last bracket. */
async function extended(more: string): Promise<Uint8Array> {
  return parse(`${text.trimEnd().slice(0, -1)} ${more})`);
}

function refusalOf(component: Uint8Array): ComponentRefusal {
  const result = prepareComponent(component);
  if (result.ok) throw new Error("it was taken, want a refusal");
  expect(result.error.message).toMatch(/^cannot use component: [\x20-\x7e…]*, at offset \d+$/);
  return result.error;
}

function inWat(name: string): string {
  return Array.from(new TextEncoder().encode(name), (byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
}

describe("the text form taken apart and put together", () => {
  test("the component that the cases below change is taken", async () => {
    expect(prepareComponent(await parse(text)).ok).toBe(true);
  });
});

describe("names that are code somewhere", () => {
  const KNOWN = "x'],globalThis.PWNED=process.pid,exports0['y";
  test.each([
    ["the known attack", KNOWN],
    ["a double quote", 'x"],globalThis.PWNED=1,exports0["y'],
    ["a backslash", "x\\"],
    ["a line break", "x\ny"],
    ["a line separator", "x\u2028y"],
    ["a template", `x$${"{process.exit()}"}y`],
    ["a backtick", "x`y"],
    ["a comment", "x*/y"],
    ["a NUL", "x\0y"],
    ["a right-to-left mark", "x\u202ey"],
    ["letters beyond ASCII", "cabi_reаlloc"],
    ["a bracket of a call", "x();y"],
    ["a blank", "x y"],
  ])("T-101: refuses %s in an export of a core module", async (_, name) => {
    const refusal = refusalOf(await changed('"cabi_realloc"', `"${inWat(name)}"`));
    expect(refusal.kind).toBe("name");
    expect(refusal.message).not.toContain("\n");
  });

  test("T-101: refuses them as the post-return function and as the memory, and the name stays one line", async () => {
    expect(refusalOf(await changed(`"cabi_post_${AUTHORIZER}#evaluate"`, `"${inWat(KNOWN)}"`)).kind).toBe("name");
    const refusal = refusalOf(await changed('"memory"', `"${inWat(`\x1b[31m"${KNOWN}`)}"`));
    expect(refusal.kind).toBe("name");
    expect(refusal.message).toContain('"\\u001b[31m\\"');
  });

  test("T-101: refuses them in custom sections", async () => {
    expect(refusalOf(await extended(`(@custom "${inWat(KNOWN)}" "x")`)).kind).toBe("name");
  });

  test("T-101: refuses an import that would take the fuel's name", async () => {
    const module = `(core module $thief (import "azure-proxy-agent" "fuel" (global (mut i64))))
      (core module $fake (global (export "fuel") (mut i64) (i64.const 0)))
      (core instance $f (instantiate $fake)) (core instance (instantiate $thief (with "azure-proxy-agent" (instance $f))))`;
    expect(refusalOf(await extended(module))).toMatchObject({ kind: "name" });
  });
});

describe("what a component may not be made of", () => {
  test.each([
    ["an imported function", '(import "now" (func (result u64)))', "import-found", '"now"'],
    ["an imported instance of WASI", '(import "wasi:clocks/wall-clock@0.2.0" (instance))', "import-found", "wasi:clocks/wall-clock@0.2.0"],
    ["an imported component", '(import "other" (component))', "unsupported", "form 0x41"],
    ["another interface of types", '(import "azure:proxy-agent-policy/types@1.7.0" (instance))', "import-found", "types@1.7.0"],
    ["a component that is never used", "(component)", "unsupported", "never instantiated"],
    ["a component used twice", "(component $c) (instance (instantiate $c)) (instance (instantiate $c))", "unsupported", "twice"],
    [
      "another export",
      '(component $c (type $t u8) (export "a" (type $t))) (instance $i (instantiate $c)) (export "other" (instance $i))',
      "unsupported",
      "other",
    ],
    ["a core type", "(core type (func))", "section", "section 3"],
    [
      "a resource that is made",
      "(type $r (resource (rep i32))) (core func $n (canon resource.new $r)) (type $f (func (result (own $r))))",
      "unsupported",
      "form 0x3f",
    ],
    ["an asynchronous builtin", "(core func (canon task.return))", "unsupported", "form 0x09"],
    ["a thread", "(core type $t (func (param i32))) (core func (canon thread.spawn-ref $t))", "section", "section 3"],
  ] as const)("T-104: refuses %s", async (what, more, kind, words) => {
    if (what === "a resource that is made") {
      // Making handles is a wall, so such a component is taken; it can never hold one.
      expect(prepareComponent(await extended(more)).ok).toBe(true);
      return;
    }
    const refusal = refusalOf(await extended(more));
    expect(refusal.message).toContain(words);
    expect(refusal.kind).toBe(kind);
  });

  test("T-104: refuses a lowered function that does something", async () => {
    const stub = (body: string) => `
      (core module $m (func (export "f") ${body})) (core instance $i (instantiate $m))
      (func $lifted (canon lift (core func $i "f"))) (core func $lowered (canon lower (func $lifted)))
      (core module $user (import "x" "f" (func)) (func (export "g") (call 0)))
      (core instance $x (export "f" (func $lowered))) (core instance (instantiate $user (with "x" (instance $x))))`;
    expect(refusalOf(await extended(stub("(nop)")))).toMatchObject({ kind: "unsupported" });
    expect(refusalOf(await extended(stub("(loop (br 0))"))).message).toContain("trap at once");
    expect(refusalOf(await extended(stub("(if (i32.const 0) (then unreachable))"))).kind).toBe("unsupported");
    const walled = prepareComponent(await extended(stub("unreachable")));
    expect(walled.ok).toBe(true);
    if (walled.ok) expect(walled.value.prepared.plan.moduleCount).toBe(walled.value.facts.modules.length + 1);
  });

  test("T-104: refuses nesting without end", async () => {
    const nested = "(component ".repeat(8) + ")".repeat(8);
    expect(["limit", "unsupported"]).toContain(refusalOf(await extended(nested)).kind);
  });

  test("T-109: refuses a core module instantiated again and again: each instance has a memory of its own", async () => {
    const again = "(core instance (instantiate 0))";
    expect(prepareComponent(await extended(again.repeat(3))).ok).toBe(true);
    expect(refusalOf(await extended(again.repeat(4)))).toMatchObject({
      kind: "limit",
      message: expect.stringContaining("more than 4 memories"),
    });
  });

  test.each([
    ["elements", `(table 1 funcref) (func) (elem (i32.const 0) func ${"0 ".repeat(25_000)})`, "200000 elements of tables"],
    ["data", `(data "${"x".repeat(900_000)}")`, "16777216 bytes of data"],
    ["tables", "(table 10 funcref)", "16 tables"],
    [
      "exports",
      `(func) ${Array.from({ length: 5_000 }, (_, i) => `(export "e${i}" (func 0))`).join(" ")}`,
      "50000 imports, exports and globals",
    ],
  ])("T-109: refuses what instances together make too many of: %s", async (_, fields, limit) => {
    const more = `(core module $again ${fields})${"(core instance (instantiate $again))".repeat(25)}`;
    expect(refusalOf(await extended(more)).message).toContain(`more than ${limit}`);
  });

  test("T-104: a component that is built from itself many times over is read in no time", async () => {
    let types = '(type $t0 (record (field "a" u8)))';
    for (let i = 1; i < 60; i++) types += ` (type $t${i} (record (field "a" $t${i - 1}) (field "b" $t${i - 1})))`;
    expect(refusalOf(await extended(types))).toMatchObject({ kind: "limit" });
  });

  test("T-104: refuses a start function of the component", async () => {
    const start = Uint8Array.of(...(await parse(text)), 9, 3, 0, 0, 0);
    expect(refusalOf(start)).toMatchObject({ kind: "start", offset: start.length - 5 });
  });

  test("T-104: refuses sections that nobody knows", async () => {
    expect(refusalOf(Uint8Array.of(...(await parse(text)), 12, 0))).toMatchObject({ kind: "section" });
  });

  test("T-104: refuses texts in latin1+utf16", async () => {
    expect(refusalOf(await changed("string-encoding=utf8", "string-encoding=latin1+utf16")).message).toContain("latin1");
  });

  test("takes texts in UTF-16", async () => {
    const taken = prepareComponent(await changed("string-encoding=utf8", "string-encoding=utf16"));
    expect(taken.ok && taken.value.prepared.plan.evaluate.encoding).toBe("utf16");
  });
});

describe("a module built for another world", () => {
  test.each([
    ["another order of outcomes", '(enum "allow" "deny" "abstain")', '(enum "deny" "allow" "abstain")'],
    ["another order of methods", '"get" "head"', '"head" "get"'],
    ["a field of another name", '"elevated"', '"raised"'],
    ["fields in another order", '(field "process-id" u32) (field "user-id" u32)', '(field "user-id" u32) (field "process-id" u32)'],
    ["a field of another type", '(field "cgroup-id" u64)', '(field "cgroup-id" s64)'],
    ["a parameter of another name", '(param "settings"', '(param "options"'],
    ["one case more", '"abstain")', '"abstain" "perhaps")'],
  ])("T-105: refuses %s", async (_, from, to) => {
    const refusal = refusalOf(await changed(from, to));
    expect(refusal.kind).toBe("unsupported");
    expect(refusal.message).toMatch(/policy\.wit|policy world/);
  });

  test.each([
    ["1.1.0", "1.0.0 to 1.0.0"],
    ["2.0.0", "1.0.0 to 1.0.0"],
    ["0.9.0", "1.0.0 to 1.0.0"],
  ])("T-105: refuses version %s and names both", async (version, wanted) => {
    const refusal = refusalOf(await changed("@1.0.0", `@${version}`));
    expect(refusal.kind).toBe("unsupported");
    expect(refusal.message).toContain(version);
    expect(refusal.message).toContain(wanted);
  });

  test("takes another patch version of its own minor version", async () => {
    const taken = prepareComponent(await changed("@1.0.0", "@1.0.9"));
    expect(taken.ok && taken.value.prepared.plan.worldVersion).toBe("1.0.9");
  });

  test("T-105: refuses types of another version than the authorizer", async () => {
    expect(refusalOf(await changed("policy/types@1.0.0", "policy/types@1.0.3")).kind).toBe("import-found");
  });

  test("T-105: refuses a component without authorizer, and one with two", async () => {
    expect(refusalOf(await parse("(component)"))).toMatchObject({ kind: "missing-export" });
    const second = '(export "azure:proxy-agent-policy/authorizer@1.0.1" (instance 1))';
    expect(refusalOf(await extended(second)).message).toContain("two authorizers");
  });

  test("T-105: refuses a core function of another signature than the world's", async () => {
    const component = await componentFromModuleWat({});
    const [at] = findAll(component, [0x60, 2, 0x7f, 0x7f, 1, 0x7f]); // (i32, i32) -> i32 in the core module
    component[(at ?? 0) + 3] = 0x7e; // now (i32, i64) -> i32
    expect(refusalOf(component)).toMatchObject({ kind: "malformed" });
    expect(refusalOf(component).message).toContain("another signature");
  });
});

function findAll(bytes: Uint8Array, wanted: readonly number[]): readonly number[] {
  return Array.from(bytes.keys()).filter((at) => wanted.every((byte, i) => bytes[at + i] === byte));
}
