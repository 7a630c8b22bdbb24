import { describe, expect, test } from "bun:test";
import { makeFakeLog } from "../../../test/fakes/log.ts";
import type { ThrottledUser } from "../../core/ports.ts";
import { makeCrowding } from "./crowding.ts";

function setUp() {
  let nowMs = 0;
  let throttled: readonly ThrottledUser[] = [];
  const closed: unknown[] = [];
  const settled: number[] = [];
  let changes = 0;
  const { log, events } = makeFakeLog();
  const crowding = makeCrowding({
    redirector: {
      throttledUsers: () => throttled,
      refuseConnects: (uid, ms) => void closed.push([uid, ms]),
      settleQueue: (waiting) => void settled.push(waiting),
    },
    waiting: () => 7,
    log,
    changed: () => void changes++,
    monotonicMs: () => nowMs,
  });
  return {
    crowding,
    closed,
    settled,
    events,
    changes: () => changes,
    pass: (ms: number) => {
      nowMs += ms;
    },
    throttle: (users: readonly ThrottledUser[]) => {
      throttled = users;
    },
  };
}

describe("crowding", () => {
  test("T-188: a user who has its share is refused in the kernel for a moment, and again while it goes on", () => {
    const { crowding, closed, pass } = setUp();
    for (let n = 0; n < 100; n++) crowding.refused(1000);
    crowding.refused(1001);
    expect(closed).toEqual([
      [1000, 200],
      [1001, 200],
    ]);
    pass(199);
    crowding.refused(1000);
    expect(closed).toHaveLength(2);
    pass(1);
    crowding.refused(1000);
    expect(closed.at(-1)).toEqual([1000, 200]);
  });

  test("T-188: what the kernel believes to be in the backlog is put right at the start and with each look", () => {
    const { crowding, settled } = setUp();
    crowding.look();
    expect(settled).toEqual([7, 7]);
  });

  test("those of whom the kernel has no record cannot be refused by it", () => {
    const { crowding, closed } = setUp();
    crowding.refused("unrecorded");
    expect(closed).toEqual([]);
  });

  test("T-188: the status names who it is, most refused first, and five minutes later nobody", () => {
    const { crowding, pass, changes } = setUp();
    expect(crowding.part.report()).toEqual({ health: "ok", message: "", details: undefined });
    for (let n = 0; n < 3; n++) crowding.refused(1000);
    crowding.refused("unrecorded");
    for (let n = 0; n < 9; n++) crowding.refused(1001);
    expect(changes()).toBe(3);
    expect(crowding.part.report()).toEqual({
      health: "degraded",
      message: "too many connections, refused: user id 1001 (9), user id 1000 (3), unrecorded callers (1)",
      details: {
        users: [
          { user: 1001, refused: 9 },
          { user: 1000, refused: 3 },
          { user: "unrecorded", refused: 1 },
        ],
      },
    });
    pass(300_001);
    crowding.look();
    expect([crowding.part.report().health, changes()]).toEqual(["ok", 4]);
  });

  test("T-188: records that the kernel refused are told once for each look, by user", () => {
    const { crowding, events, throttle } = setUp();
    throttle([{ uid: 1000, refused: 5n }]);
    crowding.look();
    crowding.look();
    throttle([
      { uid: 1000, refused: 7n },
      { uid: 1001, refused: 1n },
    ]);
    crowding.look();
    expect(events.map(({ event, fields }) => [event, fields.userId, fields.refused])).toEqual([
      ["records-throttled", 1000, 5],
      ["records-throttled", 1000, 2],
      ["records-throttled", 1001, 1],
    ]);
    expect(crowding.part.report().message).toContain("user id 1000 (7), user id 1001 (1)");
  });

  test("a user whom the kernel forgot and knows again counts anew", () => {
    const { crowding, events, throttle } = setUp();
    throttle([{ uid: 1000, refused: 50n }]);
    crowding.look();
    throttle([{ uid: 1000, refused: 2n }]);
    crowding.look();
    expect(events.map(({ fields }) => fields.refused)).toEqual([50, 2]);
  });

  test("a crowd of users is not kept without end", () => {
    const { crowding } = setUp();
    for (let uid = 1000; uid < 3000; uid++) crowding.refused(uid);
    const { details } = crowding.part.report();
    expect(details?.users).toHaveLength(64);
  });
});
