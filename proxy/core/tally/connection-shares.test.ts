import { describe, expect, test } from "bun:test";
import { type Held, makeConnectionShares, type Owner } from "./connection-shares.ts";

const LIMITS = { places: 40, rootReserve: 8, perUser: 20, directPerUser: 4 };

function setUp(limits = LIMITS) {
  const shares = makeConnectionShares(limits);
  const open = new Map<Held, Owner>();
  const connect = (owner: Owner, { direct = false, yields = true } = {}) => {
    const held: Held = { yields, evict: () => void open.delete(held) };
    if (!shares.admit(owner, direct, held)) return undefined;
    open.set(held, owner);
    return held;
  };
  const fill = (owner: Owner, count: number, more = {}) => Array.from({ length: count }, () => connect(owner, more)).filter(Boolean).length;
  const countOf = (owner: Owner) => [...open.values()].filter((one) => one === owner).length;
  const close = (held: Held) => {
    open.delete(held);
    shares.release(held);
  };
  return { shares, connect, fill, countOf, close, open };
}

describe("connection shares", () => {
  test("T-189: one user has its share and no more", () => {
    const { fill } = setUp();
    expect(fill(1000, 100)).toBe(20);
  });

  test("T-189: the reserve is root's alone, whatever the others hold and however busy they are", () => {
    const { fill, countOf } = setUp();
    for (let uid = 1000; uid < 1016; uid++) fill(uid, 20, { yields: false });
    expect(countOf(0)).toBe(0);
    expect(fill(0, 100)).toBe(8 + 92);
    expect(countOf(0)).toBe(8);
  });

  test("T-189: busy connections of root keep the reserve and no more, while others hold the rest", () => {
    const { fill } = setUp();
    fill(1000, 20, { yields: false });
    fill(1001, 20, { yields: false });
    expect(fill(0, 100, { yields: false })).toBe(8);
  });

  test("root may have all that nobody else wants, and then gives way to itself", () => {
    const { fill, countOf } = setUp();
    expect(fill(0, 100)).toBe(100);
    expect(countOf(0)).toBe(40);
  });

  test("a newcomer takes from the user with the most, oldest idle one first", () => {
    const { connect, fill, countOf, open, shares } = setUp();
    const first = connect(1000);
    fill(1000, 19);
    fill(1001, 12);
    expect(connect(1002)).toBeDefined();
    expect([countOf(1000), countOf(1001), countOf(1002)]).toEqual([19, 12, 1]);
    expect(first !== undefined && open.has(first)).toBe(false);
    expect(shares.evicted()).toBe(1);
  });

  test("T-189: shares become equal whatever the number of users (max-min)", () => {
    const { fill, countOf } = setUp();
    for (let uid = 1000; uid < 1016; uid++) fill(uid, 20);
    for (let round = 0; round < 20; round++) for (let uid = 1000; uid < 1016; uid++) fill(uid, 1);
    for (let uid = 1000; uid < 1016; uid++) expect(countOf(uid)).toBe(2);
  });

  test("what is in progress is never closed: the newcomer is refused", () => {
    const { connect, fill } = setUp();
    fill(1000, 20, { yields: false });
    fill(1001, 12, { yields: false });
    expect(connect(1002)).toBeUndefined();
    expect(connect(0)).toBeDefined();
  });

  test("direct connections have a share of their own within the user's", () => {
    const { connect, fill } = setUp();
    expect(fill(1000, 10, { direct: true })).toBe(4);
    expect(connect(1000)).toBeDefined();
    expect(connect(1001, { direct: true })).toBeDefined();
    expect(fill("unrecorded", 10, { direct: true })).toBe(4);
  });

  test("places come back when connections end, once each", () => {
    const { connect, close, fill } = setUp();
    const held = connect(1000, { direct: true });
    if (held === undefined) throw new Error("want a place, found none");
    fill(1000, 19);
    close(held);
    close(held);
    expect(fill(1000, 10)).toBe(1);
    expect(fill(1000, 1, { direct: true })).toBe(0);
  });

  test("law: never more than the places, never more of others than the reserve leaves", () => {
    let seed = 7;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % below;
    };
    const { connect, close, open, countOf } = setUp();
    for (let step = 0; step < 20_000; step++) {
      if (random(3) > 0)
        connect([0, 1000, 1001, 1002, "unrecorded" as const][random(5)] ?? 0, { direct: random(4) === 0, yields: random(2) === 0 });
      else close([...open.keys()][random(open.size || 1)] ?? { yields: true, evict() {} });
      expect(open.size).toBeLessThanOrEqual(LIMITS.places);
      expect(open.size - countOf(0)).toBeLessThanOrEqual(LIMITS.places - LIMITS.rootReserve);
      for (const uid of [1000, 1001, 1002]) expect(countOf(uid)).toBeLessThanOrEqual(LIMITS.perUser);
    }
  });
});
