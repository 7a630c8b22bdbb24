import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { compileItem, compileItemApart, INLINE_ITEM_CHARACTERS } from "./compile-item.ts";

const COMMAND = [process.execPath, join(import.meta.dir, "../../main.ts"), "compile-item-for-daemon"];

function item(privileges: number, more: Readonly<Record<string, unknown>> = {}) {
  return {
    id: "large",
    mode: "enforce",
    defaultAccess: "deny",
    rules: {
      privileges: Array.from({ length: privileges }, (_, n) => ({ name: `p${n}`, path: `/metadata/part-${n}` })),
      roles: [{ name: "r", privileges: ["p0", "nobody-defines-this"] }],
      identities: [{ name: "i", userName: "alice", exeSha256: "ab".repeat(32) }],
      roleAssignments: [{ role: "r", identities: ["i"] }],
    },
    ...more,
  };
}

describe("compileItemApart", () => {
  test.each([10, 1_000])("gives the same component for %p privileges as compiling here", async (privileges) => {
    const json = item(privileges);
    expect(JSON.stringify(json).length > INLINE_ITEM_CHARACTERS).toBe(privileges === 1_000);
    const here = compileItem("imds", json);
    const apart = await compileItemApart(COMMAND, "imds", json);
    if (!here.ok || !apart.ok) throw new Error("both must compile");
    expect(Buffer.compare(apart.value.component, here.value.component)).toBe(0);
    expect(apart.value.warnings).toEqual(here.value.warnings);
    expect([apart.value.warnings.length, apart.value.wantsExecutableHash]).toEqual([1, true]);
  });

  test("tells what cannot be used in the same words", async () => {
    const json = item(1_000, { defaultAccess: "perhaps" });
    expect(await compileItemApart(COMMAND, "imds", json)).toEqual(compileItem("imds", json));
  });

  test.each([
    ["cannot be started", ["/nonexistent/program"]],
    ["fails", ["/bin/false"]],
    ["answers nonsense", ["/bin/echo", "hello"]],
    ["answers nothing", ["/bin/true"]],
  ])("compiles here when the process %s", async (_what, command) => {
    const found = await compileItemApart(command, "imds", item(1_000));
    expect(found.ok && found.value.component.length).toBeGreaterThan(1_000);
  });
});
