import { describe, expect, test } from "bun:test";
import { openAccountDatabase } from "./nss.ts";

/** The account database as a tool of the system sees it: name, password, id and so on. */
async function getent(...args: string[]): Promise<string[]> {
  const tool = Bun.spawn(["getent", ...args], { stdout: "pipe" });
  return (await new Response(tool.stdout).text()).trim().split("\n").filter(Boolean);
}

describe.each([
  ["its usual buffers", openAccountDatabase()],
  ["buffers that are too small at first", openAccountDatabase(1, 1)],
])("the account database with %s", (_, database) => {
  test("agrees with getent on every local account and its groups", async () => {
    const lines = (await getent("passwd")).slice(0, 40);
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) {
      const [name = "", , uid = "", gid = ""] = line.split(":");
      const user = await database.user(Number(uid));
      if (!user.ok || user.value === undefined) throw new Error(`no account for ${line}`);
      expect([user.value.name, user.value.gid]).toEqual([name, Number(gid)]);
      const tool = Bun.spawn(["id", "-G", name], { stdout: "pipe" });
      const wanted = (await new Response(tool.stdout).text()).trim().split(" ").map(Number);
      const ids = await database.groupIds(user.value);
      expect(ids.ok && [...ids.value].sort()).toEqual(wanted.sort());
    }
  });

  test("agrees with getent on group names", async () => {
    for (const line of (await getent("group")).slice(0, 40)) {
      const [name = "", , gid = ""] = line.split(":");
      expect(await database.groupName(Number(gid), 0)).toEqual({ ok: true, value: name });
    }
  });

  test.each([4_000_000_123, 4_294_967_294])("knows nobody with user id %p", async (uid) => {
    expect(await database.user(uid)).toEqual({ ok: true, value: undefined });
    expect(await database.groupName(uid, 0)).toEqual({ ok: true, value: undefined });
  });
});
