import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import { BodyBuffer } from "./body-buffer.ts";
import { MemoryAccount, MemoryBudget, UNCOUNTED_BYTES } from "./memory-budget.ts";

const KIB = 1024;
const budgetOf = (totalBytes: number) => new MemoryBudget({ totalBytes, rootReserveBytes: 0 });
const accountOf = (budget: MemoryBudget, owner: number) => new MemoryAccount(budget, owner, () => {});
const push = (buffer: BodyBuffer, bytes: Buffer) => buffer.onPayload(bytes, 0, bytes.length);

describe("BodyBuffer", () => {
  test("refuses the byte over its limit and drops what follows", () => {
    const buffer = new BodyBuffer(accountOf(budgetOf(KIB), 1), 4);
    push(buffer, Buffer.from("abcd"));
    expect(buffer.failure).toBeUndefined();
    push(buffer, Buffer.from("e"));
    expect(buffer.failure).toBe("too-large");
  });

  test("is busy when the bodies of all together do not fit, and fits again after a release", () => {
    const budget = budgetOf(100 * KIB);
    const first = new BodyBuffer(accountOf(budget, 1), 80 * KIB);
    push(first, Buffer.alloc(60 * KIB));
    const second = new BodyBuffer(accountOf(budget, 1), 80 * KIB);
    push(second, Buffer.alloc(60 * KIB));
    expect(second.failure).toBe("busy");
    first.release();
    const third = new BodyBuffer(accountOf(budget, 1), 80 * KIB);
    push(third, Buffer.alloc(60 * KIB));
    expect(third.failure).toBeUndefined();
  });

  test("law: the payload is what was pushed, the budget covers it, and all of it is given back", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed);
      const budget = budgetOf(10_000 * KIB);
      const account = accountOf(budget, 1);
      const buffer = new BodyBuffer(account, 200 * KIB);
      const parts = random.list(0, 30, () => Buffer.alloc(1 + random.below(4000), random.below(256)));
      for (const part of parts) push(buffer, part);
      const whole = Buffer.concat(parts);
      expect({
        seed,
        same: whole.equals(buffer.payload),
        covered: account.heldBytes >= whole.length && budget.takenBytes >= whole.length - UNCOUNTED_BYTES,
      }).toEqual({
        seed,
        same: true,
        covered: true,
      });
      buffer.release();
      buffer.release();
      expect({ seed, taken: budget.takenBytes, held: account.heldBytes }).toEqual({ seed, taken: 0, held: 0 });
    }
  });
});
