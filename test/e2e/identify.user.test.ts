// Who the caller is comes from the kernel's record; the account database only adds names. Needs root.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { makeIdentify } from "../../proxy/adapters/proc/identify.ts";
import type { AuditRecord } from "../../proxy/core/caller.ts";
import { openWorkshop, pinnedRecord, type Workshop } from "../support/pinned-process.ts";

const PEER = { address: "127.0.0.1", port: 40_001 };
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

  test("is named after its real id, not after what it became since", async () => {
    const record = pinnedRecord(await startAs(NOBODY, NOBODY), { realUid: 0, effectiveUid: NOBODY });
    expect(await claimsOf(record)).toMatchObject({ userId: 0, userName: "root", runAsElevated: false });
  });
});
