import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import { DecisionQueue } from "./decision-queue.ts";

const bytesOf = (value: number, length: number) => new Uint8Array(length).fill(value);

describe("DecisionQueue", () => {
  test("gives back what was put in, oldest first", () => {
    const queue = new DecisionQueue(4, 100);
    for (const value of [1, 2, 3]) expect(queue.push(bytesOf(value, value))).toBe(true);
    expect(queue.length).toBe(3);
    for (const value of [1, 2, 3]) expect(queue.take()).toEqual(Buffer.from(bytesOf(value, value)));
    expect([queue.take(), queue.length]).toEqual([undefined, 0]);
  });

  test("has no room for more than its number or its bytes, and is unharmed then", () => {
    const few = new DecisionQueue(2, 100);
    expect([1, 2, 3].map((value) => few.push(bytesOf(value, 1)))).toEqual([true, true, false]);
    expect(few.take()).toEqual(Buffer.from([1]));
    expect(few.push(bytesOf(4, 1))).toBe(true);
    expect([few.take(), few.take(), few.take()]).toEqual([Buffer.from([2]), Buffer.from([4]), undefined]);
    const small = new DecisionQueue(10, 10);
    expect([6, 6, 4].map((length) => small.push(bytesOf(length, length)))).toEqual([true, false, true]);
    expect(small.take()?.length).toBe(6);
    expect(small.push(bytesOf(5, 5))).toBe(true);
    expect([small.take()?.[0], small.take()?.[0]]).toEqual([4, 5]);
  });

  test("behaves like a list, whatever comes", () => {
    const random = seededRandom(20_261_125);
    const queue = new DecisionQueue(16, 256);
    let list: Uint8Array[] = [];
    for (let step = 0; step < 20_000; step += 1) {
      if (random.below(2) === 0) {
        const body = bytesOf(random.below(256), random.below(60));
        const fits = list.length < 16 && list.reduce((sum, { length }) => sum + length, body.length) <= 256;
        expect(queue.push(body)).toBe(fits);
        if (fits) list = [...list, body];
      } else {
        const [first, ...rest] = list;
        const taken = queue.take();
        expect(taken === undefined ? undefined : Uint8Array.from(taken)).toEqual(first === undefined ? undefined : Uint8Array.from(first));
        list = rest;
      }
      expect(queue.length).toBe(list.length);
    }
  });
});
