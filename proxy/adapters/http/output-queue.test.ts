import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import { MemoryAccount, MemoryBudget } from "./memory-budget.ts";
import { OutputQueue } from "./output-queue.ts";

const KIB = 1024;
const budgetOf = (totalBytes: number) => new MemoryBudget({ totalBytes, rootReserveBytes: 0 });
const accountOf = (totalBytes: number) => new MemoryAccount(budgetOf(totalBytes), 1, () => {});

function drain(queue: OutputQueue, most: () => number): Buffer {
  const taken: Buffer[] = [];
  for (let next = queue.first; next !== undefined; next = queue.first) {
    const bytes = Math.min(next.length, most());
    taken.push(Buffer.from(next.subarray(0, bytes)));
    queue.drop(bytes);
  }
  return Buffer.concat(taken);
}

describe("OutputQueue", () => {
  test("law: what comes out is what went in, in order, whatever the pieces and however it is taken", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed);
      const account = accountOf(100_000 * KIB);
      const queue = new OutputQueue(account);
      const sizes = [1, 3, 500, 9 * KIB, 40 * KIB];
      const wanted: Buffer[] = [];
      const got: Buffer[] = [];
      for (let round = 0; round < 5; round++) {
        for (let n = random.below(20); n > 0; n--) {
          const piece = Buffer.alloc(1 + random.below(sizes[random.below(sizes.length)] ?? 1), random.below(256));
          wanted.push(piece);
          queue.push(piece, random.below(3) === 0);
        }
        // Some of it, so that the next pieces come behind a rest.
        const first = queue.first;
        if (first !== undefined) {
          const some = 1 + random.below(first.length);
          got.push(Buffer.from(first.subarray(0, some)));
          queue.drop(some);
        }
      }
      got.push(drain(queue, () => 1 + random.below(10 * KIB)));
      const result = { seed, same: Buffer.concat(wanted).equals(Buffer.concat(got)), left: queue.length, held: queue.heldBytes };
      expect({ ...result, counted: account.heldBytes }).toEqual({ seed, same: true, left: 0, held: 0, counted: 0 });
    }
  });

  test("T-161: pieces of one byte cost little more than the bytes, and so do slices of a large buffer", () => {
    const account = accountOf(100_000 * KIB);
    const queue = new OutputQueue(account);
    const large = Buffer.alloc(64 * KIB);
    for (let n = 0; n < 50_000; n++) queue.push(large.subarray(n, n + 1), false);
    for (let n = 0; n < 100; n++) queue.push(large.subarray(n, n + 9 * KIB), false);
    expect(queue.length).toBe(50_000 + 900 * KIB);
    expect(account.heldBytes).toBe(queue.heldBytes);
    expect(queue.heldBytes).toBeLessThan(queue.length + 32 * KIB);
    let parts = 0;
    for (let next = queue.first; next !== undefined; next = queue.first, parts++) queue.drop(next.length);
    expect(parts).toBeLessThan(100);
  });

  test("bytes that are counted elsewhere cost nothing here and are not copied", () => {
    const account = accountOf(1);
    const queue = new OutputQueue(account);
    const body = Buffer.alloc(16 * 1024 * KIB);
    expect([queue.push(body, true), account.heldBytes, queue.first === body]).toEqual([true, 0, true]);
  });

  test("without room it says so, and gives back what it had", () => {
    const account = accountOf(20 * KIB);
    const queue = new OutputQueue(account);
    expect([queue.push(Buffer.alloc(10 * KIB), false), queue.push(Buffer.alloc(30 * KIB), false)]).toEqual([true, false]);
    queue.clear();
    expect([queue.length, account.heldBytes]).toEqual([0, 0]);
  });
});
