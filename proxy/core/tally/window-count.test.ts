import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import { bucketAt, WindowCount } from "./window-count.ts";

describe("WindowCount", () => {
  test("a bucket is a quarter of an hour", () => {
    expect([bucketAt(0), bucketAt(899_999), bucketAt(900_000), bucketAt(3_600_000)]).toEqual([0, 0, 1, 4]);
  });

  test("what lies more than four hours back is forgotten", () => {
    const count = new WindowCount();
    count.add(100, 5);
    count.add(110, 2);
    expect([count.total(110), count.total(116), count.total(117), count.total(126), count.total(127)]).toEqual([7, 7, 2, 2, 0]);
  });

  test("a clock that was set back loses nothing, and keeps nothing for ever", () => {
    const count = new WindowCount();
    count.add(1_000_000, 3);
    count.add(100, 1);
    expect(count.total(100)).toBe(4);
    expect(count.total(117)).toBe(0);
  });

  test("law: two counts added are the count of both", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const [one, two, both] = [new WindowCount(), new WindowCount(), new WindowCount()];
      let bucket = random.below(5);
      for (let n = random.below(80); n > 0; n--) {
        const times = 1 + random.below(9);
        (random.oneIn(2) ? one : two).add(bucket, times);
        both.add(bucket, times);
        if (random.oneIn(3)) bucket += 1 + random.below(6);
      }
      one.addAll(two);
      for (let later = bucket; later < bucket + 20; later++) expect(one.total(later), `seed ${seed}`).toBe(both.total(later));
    }
  });
});
