import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import { makeFairSlots } from "./fair-slots.ts";

describe("makeFairSlots", () => {
  test("the lightest entry of the fullest user gives way", () => {
    const slots = makeFairSlots<number>(3, (weight) => weight);
    slots.add("a1", "a", 5);
    slots.add("a2", "a", 2);
    slots.add("b1", "b", 1);
    expect(slots.add("c1", "c", 1)).toEqual({ user: "a", entry: 2 });
    expect([...slots.entries()].map(([key]) => key)).toEqual(["a1", "b1", "c1"]);
  });

  test("a user who has as many as anybody gives way itself", () => {
    const slots = makeFairSlots<number>(2, (weight) => weight);
    slots.add("a1", "a", 1);
    slots.add("b1", "b", 9);
    expect(slots.add("b2", "b", 9)).toEqual({ user: "b", entry: 9 });
    expect(slots.get("a1")).toBe(1);
  });

  test("T-21: law: nobody with fewer than its share loses an entry, whatever the others do", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed);
      const users = 2 + random.below(5);
      const places = users * (1 + random.below(5));
      const slots = makeFairSlots<number>(places, (weight) => weight);
      // User 0 has its share, from the beginning or in the middle of the noise; the others do what they like.
      const own = Array.from({ length: places / users }, (_, n) => `own ${n}`);
      const added: string[] = [];
      for (let n = 0; n < 400; n++) {
        if (own.length > added.length && random.oneIn(40)) {
          const key = own[added.length] ?? "";
          slots.add(key, "0", 0);
          added.push(key);
        }
        const user = 1 + random.below(users - 1);
        const key = `${user} ${random.below(200)}`;
        if (slots.get(key) === undefined) slots.add(key, String(user), random.below(1000));
        else if (random.oneIn(10)) slots.delete(key);
        expect(slots.size(), `seed ${seed}`).toBeLessThanOrEqual(places);
      }
      for (const key of added) expect(slots.get(key), `seed ${seed}`).toBe(0);
    }
  });
});
