import { describe, expect, test } from "bun:test";
import { err, ok } from "../../core/result.ts";
import { type Account, type AccountDatabase, type AccountOptions, makeAccounts } from "./accounts.ts";

const NEVER = new Promise<never>(() => {});

/** An account database that counts its questions and can be told to fail, to be slow or to hang. */
function fakeDatabase() {
  const asked: number[] = [];
  const state = { hangs: false, fails: false };
  const database: AccountDatabase = {
    async user(uid) {
      asked.push(uid);
      if (state.hangs) return NEVER;
      if (state.fails) return err("the account database does not answer");
      if (uid === 404) return ok(undefined);
      if (uid === 500) return err("cannot look up user id 500: error 5");
      if (uid === 501) throw new Error("broken");
      if (uid === 999) return NEVER;
      return ok({ uid, name: `user${uid}`, nameBytes: new Uint8Array(), gid: uid });
    },
    async groupIds(user) {
      if (user.gid === 998) return NEVER;
      if (user.gid === 502) return err("cannot look up the groups");
      return ok([user.gid, 7, 404, 7]);
    },
    async groupName(gid) {
      if (gid === 404) return ok(undefined);
      if (gid === 503) return err("cannot look up group id 503");
      return ok(`group${gid}`);
    },
  };
  return { asked, database, state };
}

function setUp(extra: Partial<Omit<AccountOptions, "database" | "nowMs">> = {}) {
  const fake = fakeDatabase();
  const clock = { nowMs: 1000 };
  const nowMs = () => clock.nowMs;
  const accounts = makeAccounts({ database: fake.database, nowMs, positiveMs: 60_000, negativeMs: 5_000, ...extra });
  return { ...fake, clock, late: accounts.late, accountOf: (uid: number, wanted = true) => accounts.accountOf(uid, wanted) };
}

describe("accounts", () => {
  test("gives name and named groups, each once", async () => {
    const { accountOf } = setUp();
    expect(await accountOf(3)).toEqual({ userName: "user3", userGroups: ["group3", "group7"], doubts: [] });
  });

  test("answers at once while remembered, and asks again after the time limit", async () => {
    const { accountOf, asked, clock } = setUp();
    await accountOf(3);
    clock.nowMs += 59_999;
    expect(accountOf(3)).not.toBeInstanceOf(Promise);
    clock.nowMs += 1;
    expect(accountOf(3)).toBeInstanceOf(Promise);
    expect(asked).toEqual([3, 3]);
  });

  test.each([
    [404, "user id 404 has no account"],
    [500, "cannot look up user id 500: error 5"],
    [501, "cannot look up user id 501: broken"],
  ])("knows no name for user id %p, says why, and asks again soon", async (uid, doubt) => {
    const { accountOf, asked, clock } = setUp();
    const unknown: Account = { userName: undefined, userGroups: [], doubts: [doubt] };
    expect(await accountOf(uid)).toEqual(unknown);
    clock.nowMs += 4_999;
    expect(await accountOf(uid)).toEqual(unknown);
    expect(asked.length).toBe(1);
    clock.nowMs += 1;
    await accountOf(uid);
    expect(asked.length).toBe(2);
  });

  test("keeps the name when the groups cannot be had", async () => {
    const { accountOf } = setUp();
    expect(await accountOf(502)).toEqual({ userName: "user502", userGroups: [], doubts: ["cannot look up the groups"] });
    expect(await accountOf(503)).toEqual({ userName: "user503", userGroups: ["group7"], doubts: ["cannot look up group id 503"] });
  });

  test("asks once for many requests of one user", async () => {
    const { accountOf, asked } = setUp();
    const answers = await Promise.all(Array.from({ length: 50 }, () => accountOf(3)));
    expect(asked).toEqual([3]);
    expect(new Set(answers).size).toBe(1);
  });

  test("T-16: stops waiting at the deadline, for that user only", async () => {
    const { accountOf, clock } = setUp({ deadlineMs: 5 });
    const late = { userName: undefined, userGroups: [], doubts: ["cannot look up user id 999: no answer within 5 ms"] };
    expect(await accountOf(999)).toEqual(late);
    clock.nowMs += 5;
    // The look-up still hangs: later requests do not wait for it again.
    const startedMs = performance.now();
    expect(await accountOf(999)).toEqual(late);
    expect(performance.now() - startedMs).toBeLessThan(5);
    expect((await accountOf(3)).userName).toBe("user3");
  });

  test("knows the name of a user whose groups come too late", async () => {
    const { accountOf } = setUp({ deadlineMs: 5 });
    expect(await accountOf(998)).toEqual({
      userName: "user998",
      userGroups: [],
      doubts: ["cannot look up the groups of user id 998: no answer within 5 ms"],
    });
  });

  test("forgets the one not used for longest when full", async () => {
    const { accountOf, asked } = setUp({ capacity: 2 });
    for (const uid of [1, 2, 1, 3]) await accountOf(uid);
    asked.length = 0;
    await accountOf(1);
    await accountOf(3);
    expect(asked).toEqual([]);
    await accountOf(2);
    expect(asked).toEqual([2]);
  });

  test("T-165: root is never forgotten, nor refused, for a user with many ids", async () => {
    const { accountOf, asked } = setUp({ capacity: 2, deadlineMs: 5 });
    for (const uid of [0, 1, 2, 3, 4]) await accountOf(uid);
    asked.length = 0;
    await accountOf(0);
    expect(asked).toEqual([]);
    const full = setUp({ capacity: 1, deadlineMs: 5 });
    const hanging = full.accountOf(999);
    expect((await full.accountOf(0)).userName).toBe("user0");
    await hanging;
  });

  test("does not let look-ups that hang pile up", async () => {
    const { accountOf } = setUp({ capacity: 1, deadlineMs: 5 });
    const first = accountOf(999);
    expect(accountOf(3)).toEqual({
      userName: undefined,
      userGroups: [],
      doubts: ["cannot look up user id 3: too many look-ups are waiting"],
    });
    expect((await first).userName).toBeUndefined();
  });

  describe("T-192: a directory that hangs", () => {
    test("is not waited for where no rule asks for names, and the next request has the name", async () => {
      const { accountOf, state } = setUp({ courtesyMs: 0, deadlineMs: 60_000 });
      state.hangs = true;
      expect(await accountOf(3, false)).toEqual({
        userName: undefined,
        userGroups: [],
        doubts: ["cannot look up user id 3 yet: no rule in effect asks for it"],
      });
      const slow = setUp({ courtesyMs: 10_000 });
      expect(await slow.accountOf(3, false)).toEqual({ userName: "user3", userGroups: ["group3", "group7"], doubts: [] });
    });

    test.each([true, false])("leaves the last known entry in use (wanted: %p)", async (wanted) => {
      const { accountOf, state, clock } = setUp({ substituteMs: 0, courtesyMs: 0, deadlineMs: 60_000 });
      await accountOf(3, true);
      state.hangs = true;
      clock.nowMs += 90_000;
      const found = await accountOf(3, wanted);
      expect([found.userName, found.userGroups]).toEqual(["user3", ["group3", "group7"]]);
      expect(found.doubts.join()).toContain("names of user id 3 are those of 90 s ago");
    });

    test("the same when it answers with errors, for a day and no longer", async () => {
      const { accountOf, state, clock } = setUp();
      await accountOf(3);
      state.fails = true;
      clock.nowMs += 86_400_000 - 1;
      expect(await accountOf(3)).toMatchObject({ userName: "user3", userGroups: ["group3", "group7"] });
      clock.nowMs += 5_002;
      expect((await accountOf(3)).userName).toBeUndefined();
    });

    test("an account that is gone is gone at once", async () => {
      const fake = fakeDatabase();
      let present = true;
      const clock = { nowMs: 0 };
      const { accountOf } = makeAccounts({
        database: { ...fake.database, user: async (uid) => (present ? fake.database.user(uid) : ok(undefined)) },
        nowMs: () => clock.nowMs,
      });
      await accountOf(3, true);
      present = false;
      clock.nowMs += 60_001;
      expect(await accountOf(3, true)).toEqual({ userName: undefined, userGroups: [], doubts: ["user id 3 has no account"] });
    });

    test("does not stand before the local files", async () => {
      const localAccountOf = async (uid: number) => (uid === 0 ? { userName: "root", userGroups: ["root"] } : undefined);
      const { accountOf, state, late, clock } = setUp({ localAccountOf, substituteMs: 0, deadlineMs: 50 });
      state.hangs = true;
      expect(await accountOf(0)).toMatchObject({ userName: "root", userGroups: ["root"] });
      expect((await accountOf(3)).userName).toBeUndefined();
      expect(late()).toBeUndefined();
      clock.nowMs += 51;
      expect(late()).toEqual({ uid: 0, forMs: 51 });
    });

    test("is known to be well again after the next answer", async () => {
      const clock = { nowMs: 0 };
      const { promise, resolve } = Promise.withResolvers<void>();
      const fake = fakeDatabase();
      const database: AccountDatabase = {
        ...fake.database,
        async user(uid) {
          if (uid !== 1) return fake.database.user(uid);
          await promise;
          return err("the account database does not answer");
        },
      };
      const accounts = makeAccounts({ database, nowMs: () => clock.nowMs, deadlineMs: 20 });
      const first = accounts.accountOf(1, true);
      clock.nowMs += 21;
      resolve();
      await first;
      expect(accounts.late()).toEqual({ uid: 1, forMs: 21 });
      await accounts.accountOf(2, true);
      expect(accounts.late()).toBeUndefined();
    });
  });
});
