import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import type { Owner } from "../../core/tally/connection-shares.ts";
import { MemoryAccount, MemoryBudget, UNCOUNTED_BYTES } from "./memory-budget.ts";

const KIB = 1024;
const ROOT = 0;

/** A connection of `owner`; an eviction takes all it holds. */
function connection(budget: MemoryBudget, owner: Owner) {
  let held = 0;
  let evictions = 0;
  const account = new MemoryAccount(budget, owner, () => {
    evictions++;
    account.resize(held, 0);
    held = 0;
  });
  return {
    account,
    hold(bytes: number): boolean {
      const fits = account.resize(held, bytes);
      if (fits) held = bytes;
      return fits;
    },
    get evictions() {
      return evictions;
    },
  };
}

const over = (bytes: number) => UNCOUNTED_BYTES + bytes;

describe("MemoryBudget", () => {
  test("T-159: a user alone may have all but root's reserve, and not a byte of that", () => {
    const budget = new MemoryBudget({ totalBytes: 100 * KIB, rootReserveBytes: 40 * KIB });
    const user = connection(budget, 1000);
    expect([user.hold(over(60 * KIB)), user.hold(over(60 * KIB + 1)), user.evictions]).toEqual([true, false, 0]);
    const root = connection(budget, ROOT);
    expect([root.hold(over(40 * KIB)), user.evictions, budget.takenBytes]).toEqual([true, 0, 100 * KIB]);
  });

  test("T-159: unknown callers are one user, and root's reserve is not theirs", () => {
    const budget = new MemoryBudget({ totalBytes: 100 * KIB, rootReserveBytes: 40 * KIB });
    const first = connection(budget, "unrecorded");
    const second = connection(budget, "unrecorded");
    expect([first.hold(over(60 * KIB)), second.hold(over(1)), first.evictions]).toEqual([true, false, 0]);
  });

  test("T-159: a user under its share has room: the oldest connection of the largest holder gives way", () => {
    const budget = new MemoryBudget({ totalBytes: 60 * KIB, rootReserveBytes: 0 });
    const large = Array.from({ length: 6 }, () => connection(budget, 1000));
    for (const each of large) each.hold(over(10 * KIB));
    const small = connection(budget, 1001);
    expect(small.hold(over(25 * KIB))).toBe(true);
    expect(large.map((each) => each.evictions)).toEqual([1, 1, 1, 0, 0, 0]);
    expect([budget.takenBy(1000), budget.takenBy(1001)]).toEqual([30 * KIB, 25 * KIB]);
    // Now the newcomer is about as large; more than the other it may not have.
    expect([small.hold(over(40 * KIB)), small.hold(over(30 * KIB))]).toEqual([false, true]);
  });

  test("T-159: users who come one after the other cannot each take a part of what is left until nothing is", () => {
    const budget = new MemoryBudget({ totalBytes: 1000 * KIB, rootReserveBytes: 0 });
    for (let uid = 1; uid <= 40; uid++) for (let n = 0; n < 100; n++) connection(budget, uid).hold(over(10 * KIB));
    expect(connection(budget, 5000).hold(over(20 * KIB))).toBe(true);
  });

  test("T-159: root beyond its reserve is a user among users, and never gives way", () => {
    const budget = new MemoryBudget({ totalBytes: 100 * KIB, rootReserveBytes: 20 * KIB });
    const root = connection(budget, ROOT);
    const user = connection(budget, 1000);
    expect(user.hold(over(80 * KIB))).toBe(true);
    expect([root.hold(over(50 * KIB)), user.evictions]).toEqual([true, 1]);
    expect([user.hold(over(60 * KIB)), user.hold(over(50 * KIB)), root.evictions]).toEqual([false, true, 0]);
  });

  test("an account that was evicted and is slow to give back is not evicted again for it", () => {
    const budget = new MemoryBudget({ totalBytes: 20 * KIB, rootReserveBytes: 0 });
    let evictions = 0;
    const slow = new MemoryAccount(budget, 1000, () => evictions++);
    slow.resize(0, over(20 * KIB));
    const other = connection(budget, 1001);
    expect([other.hold(over(KIB)), other.hold(over(KIB)), evictions]).toEqual([false, false, 1]);
    slow.resize(over(20 * KIB), 0);
    expect([other.hold(over(KIB)), slow.evicted]).toEqual([true, false]);
  });

  test("an eviction that throws is reported and stops no one", () => {
    const reported: string[] = [];
    const budget = new MemoryBudget({ totalBytes: 20 * KIB, rootReserveBytes: 0 }, (where) => reported.push(where));
    const broken = new MemoryAccount(budget, 1000, () => {
      throw new Error("boom");
    });
    broken.resize(0, over(10 * KIB));
    const sound = connection(budget, 1000);
    sound.hold(over(10 * KIB));
    expect([connection(budget, 1001).hold(over(5 * KIB)), sound.evictions, reported]).toEqual([true, 1, ["eviction"]]);
  });

  test("a closed account holds nothing and takes nothing", () => {
    const budget = new MemoryBudget({ totalBytes: 20 * KIB, rootReserveBytes: 0 });
    const gone = connection(budget, 1);
    gone.hold(over(10 * KIB));
    gone.account.close();
    gone.account.close();
    expect([budget.takenBytes, gone.account.resize(0, 1), gone.account.resize(5, 0), budget.takenBytes]).toEqual([0, false, true, 0]);
  });

  test("T-159: law: never more than all, never into root's reserve, who is under its share is never refused, and all comes back", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const commonBytes = 200 * KIB;
      const rootReserveBytes = random.below(100) * KIB;
      const budget = new MemoryBudget({ totalBytes: commonBytes + rootReserveBytes, rootReserveBytes });
      const owners: readonly Owner[] = [ROOT, 1, 2, 3, "unrecorded"];
      const all = Array.from({ length: 30 }, (_, n) => connection(budget, owners[n % owners.length] ?? ROOT));
      for (let step = 0; step < 300; step++) {
        const one = all[random.below(all.length)];
        if (one === undefined) continue;
        const { owner } = one.account;
        const before = Math.max(0, one.account.heldBytes - UNCOUNTED_BYTES);
        const wanted = random.below(40 * KIB);
        const fits = one.hold(wanted);
        const wouldHold = budget.takenBy(owner) - (fits ? 0 : before) + (fits ? 0 : Math.max(0, wanted - UNCOUNTED_BYTES));
        const users = owners.filter((each) => each !== ROOT).reduce<number>((sum, each) => sum + budget.takenBy(each), 0);
        const fair = commonBytes / owners.length;
        // Root does not give way, so it is not for others to be sure of what it took while there was room.
        const sure = owner === ROOT ? fair + rootReserveBytes : budget.takenBy(ROOT) - rootReserveBytes <= fair ? fair : 0;
        expect({
          seed,
          step,
          bounded: users <= commonBytes && budget.takenBytes <= commonBytes + rootReserveBytes,
          refusedBelowShare: !fits && wouldHold <= sure,
        }).toEqual({ seed, step, bounded: true, refusedBelowShare: false });
      }
      for (const each of all) each.account.close();
      expect({ seed, taken: budget.takenBytes }).toEqual({ seed, taken: 0 });
    }
  });
});
