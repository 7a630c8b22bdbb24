// Who the caller is comes from the kernel's record; the account database only adds names. Needs root.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { makeIdentify } from "../../proxy/adapters/proc/identify.ts";
import type { AuditRecord } from "../../proxy/core/request/caller.ts";
import { openWorkshop, pinnedRecord, type Workshop } from "../support/pinned-process.ts";

const PEER = { address: "127.0.0.1", port: 40_001 };
const PATIENCE_MS = 30_000;
const NOBODY = 65_534;
/** No sane machine has an account with this id. */
const NO_ACCOUNT = 3_999_999_999;
const identify = makeIdentify({ kernelProcessId: process.pid });
const claimsOf = async (record: AuditRecord) => (await identify(record, "wireserver", PEER)).claims;

let shop: Workshop;
beforeEach(() => {
  shop = openWorkshop();
});
afterEach(() => shop[Symbol.dispose]());

/** Starts a program under other ids. */
function startAs(user: number, group: number): Promise<number> {
  const path = shop.program("prog");
  return shop.start(["setpriv", `--reuid=${user}`, `--regid=${group}`, "--clear-groups", path, "60"], path);
}

describe("a caller", () => {
  test("that is root is elevated, with name and groups", async () => {
    const claims = await claimsOf(pinnedRecord(await startAs(0, 0)));
    expect(claims).toMatchObject({ userId: 0, userName: "root", runAsElevated: true, clientAddress: "127.0.0.1", clientPort: 40_001 });
    expect(claims.userGroups).toContain("root");
  });

  test("that is root in another group is elevated", async () => {
    expect(await claimsOf(pinnedRecord(await startAs(0, NOBODY)))).toMatchObject({ userId: 0, runAsElevated: true });
  });

  test("in group 0 that is not root is not elevated", async () => {
    const claims = await claimsOf(pinnedRecord(await startAs(NOBODY, 0)));
    expect(claims).toMatchObject({ userId: NOBODY, userName: "nobody", runAsElevated: false });
    expect(claims.userGroups).not.toContain("root");
  });

  test.each([
    [0, NOBODY, false],
    [NOBODY, 0, false],
    [0, 0, true],
    [0, undefined, true],
    [NOBODY, undefined, false],
  ])("with real id %p and effective id %p: elevated is %p", async (realUid, effectiveUid, elevated) => {
    const record = pinnedRecord(await startAs(0, 0), { realUid, effectiveUid });
    expect((await claimsOf(record)).runAsElevated).toBe(elevated);
  });

  test("without an account has no name, and the program is known all the same", async () => {
    const pid = await startAs(NO_ACCOUNT, NO_ACCOUNT);
    const { claims, doubts } = await identify(pinnedRecord(pid), "imds", PEER);
    expect(claims).toMatchObject({ userId: NO_ACCOUNT, userName: undefined, userGroups: [], runAsElevated: false, processName: "prog" });
    expect(doubts).toEqual([`user id ${NO_ACCOUNT} has no account`]);
  });

  test(
    "T-16: is known but for its name when the account database does not answer",
    async () => {
      const pid = await startAs(0, 0);
      // A name service cache daemon that takes every question and answers none: the C library waits for it. Its socket is
      // where the C library looks only inside a mount namespace of its own.
      const silent = `import socket,time; s=socket.socket(socket.AF_UNIX); s.bind("/var/run/nscd/socket"); s.listen(50); print("up",flush=True); time.sleep(60)`;
      const script = `mount -t tmpfs none "$(readlink -f /var/run)"; mkdir /var/run/nscd; cd /
        python3 -c '${silent}' > /var/run/ready & until [ -s /var/run/ready ]; do sleep 0.01; done
        ${process.execPath} ${join(import.meta.dir, "../support/identify-once.ts")} ${pid}; kill $!`;
      const run = Bun.spawn(["unshare", "--mount", "--propagation", "private", "sh", "-ec", script], { stdout: "pipe", stderr: "inherit" });
      const found = JSON.parse(await new Response(run.stdout).text()) as unknown;
      expect(found).toMatchObject({
        path: join(shop.folder, "prog"),
        name: "prog",
        doubts: ["cannot look up user id 0: no answer within 100 ms"],
      });
      await run.exited;
    },
    PATIENCE_MS,
  );

  test("is named after its real id, not after what it became since", async () => {
    const record = pinnedRecord(await startAs(NOBODY, NOBODY), { realUid: 0, effectiveUid: NOBODY });
    expect(await claimsOf(record)).toMatchObject({ userId: 0, userName: "root", runAsElevated: false });
  });
});
