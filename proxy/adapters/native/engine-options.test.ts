import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ENGINE_OPTIONS } from "./engine-options.ts";

const ROOT = join(import.meta.dir, "../../..");
const CHILD = join(ROOT, "test/support/show-engine-options.ts");

async function show(env: Readonly<Record<string, string>>, ...words: readonly string[]) {
  const child = Bun.spawn([process.execPath, CHILD, ...words], {
    env: { ...env },
    stdin: Buffer.from("given"),
    stdout: "pipe",
    stderr: "inherit",
  });
  const shown: unknown = JSON.parse(await new Response(child.stdout).text());
  expect(await child.exited).toBe(0);
  return { shown, pid: child.pid };
}

const HOLDS = { ensured: { ok: true }, omg: "0", threads: "1" };

describe("ensureEngineOptions", () => {
  test("T-150: a process without the options becomes one with them: same id, arguments, environment and descriptors", async () => {
    const { shown, pid } = await show({ KEPT: "a=b c" }, "stdin", "", "ü");
    expect(shown).toMatchObject({ ...HOLDS, pid, kept: "a=b c", words: ["stdin", "", "ü"], inherited: "given" });
  });

  test.each([[{ BUN_JSC_useOMGJIT: "1" }], [{ BUN_JSC_useOMGJIT: "true", BUN_JSC_numberOfWasmCompilerThreads: "31" }]])(
    "T-150: other values than ours do not stay: %p",
    async (env) => {
      expect((await show(env)).shown).toMatchObject(HOLDS);
    },
  );

  test("a process that has them goes on", async () => {
    const { shown, pid } = await show({ ...ENGINE_OPTIONS });
    expect(shown).toMatchObject({ ...HOLDS, pid });
  });

  test("the unit sets them, so that the service is not started twice", () => {
    const unit = readFileSync(join(ROOT, "debian/azure-proxy-agent.service"), "utf8");
    for (const [name, value] of Object.entries(ENGINE_OPTIONS))
      expect(unit).toMatch(new RegExp(`^Environment=(.* )?${name}=${value}( .*)?$`, "m"));
  });
});
