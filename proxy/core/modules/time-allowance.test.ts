import { describe, expect, test } from "bun:test";
import {
  costOfAnswer,
  PAUSE,
  PAUSE_FROM_MS,
  TimeAllowance,
  TOTAL_BURST_MS,
  TOTAL_SHARE,
  USER_BURST_MS,
  USER_SHARE,
} from "./time-allowance.ts";

describe("TimeAllowance", () => {
  test("a few failures cost nothing; then the user waits, and only that user", () => {
    const allowance = new TimeAllowance();
    expect(allowance.mayAsk(1000, 0)).toBe(true);
    allowance.charge(1000, USER_BURST_MS, 0);
    expect(allowance.mayAsk(1000, PAUSE * USER_BURST_MS)).toBe(true);
    allowance.charge(1000, 10, 0);
    expect([allowance.mayAsk(1000, 0), allowance.mayAsk(1001, 0)]).toEqual([false, true]);
    const paidMs = 10 / USER_SHARE;
    expect([allowance.mayAsk(1000, paidMs - 1), allowance.mayAsk(1000, paidMs)]).toEqual([false, true]);
  });

  test("T-139: from some debt on users in debt wait after every charge, whoever's it was; who owes nothing is asked at once", () => {
    const allowance = new TimeAllowance();
    allowance.charge(1000, PAUSE_FROM_MS, 0);
    expect(allowance.mayAsk(1000, 0)).toBe(true);
    allowance.charge(1001, 3, 10);
    const endMs = 10 + 3 * PAUSE;
    for (const user of [1000, 1001]) expect([allowance.mayAsk(user, endMs - 1), allowance.mayAsk(user, endMs)]).toEqual([false, true]);
    expect(allowance.mayAsk(1002, 10)).toBe(true);
    allowance.charge(0, 3, endMs);
    expect([allowance.mayAsk(0, endMs), allowance.mayAsk(1000, endMs)]).toEqual([true, false]);
  });

  test("T-139: many users in debt do not have root denied; root has a debt of its own", () => {
    const allowance = new TimeAllowance();
    for (let user = 1; user <= 8; user++) allowance.charge(user, 40, 0);
    expect([allowance.mayAsk(0, 0), allowance.mayAsk(9, 0)]).toEqual([true, false]);
    allowance.charge(0, USER_BURST_MS + 1, 0);
    expect(allowance.mayAsk(0, 0)).toBe(false);
  });

  test("T-134: one user's failures take at most their share of the time, whatever they cost", () => {
    const allowance = new TimeAllowance();
    let spentMs = 0;
    for (let nowMs = 0; nowMs < 100_000; nowMs += 5) {
      if (!allowance.mayAsk(1000, nowMs)) continue;
      allowance.charge(1000, 30, nowMs);
      spentMs += 30;
    }
    expect(spentMs).toBeLessThanOrEqual(USER_BURST_MS + 30 + USER_SHARE * 100_000);
    expect(spentMs).toBeGreaterThan(USER_SHARE * 50_000);
  });

  test("T-134: many users together take at most the total's share", () => {
    const allowance = new TimeAllowance();
    let spentMs = 0;
    for (let nowMs = 0; nowMs < 100_000; nowMs++) {
      const user = nowMs % 500;
      if (!allowance.mayAsk(user, nowMs)) continue;
      allowance.charge(user, 30, nowMs);
      spentMs += 30;
    }
    expect(spentMs).toBeLessThanOrEqual(TOTAL_BURST_MS + 30 + TOTAL_SHARE * 100_000);
  });
});

describe("costOfAnswer", () => {
  test.each<[string, number, number, number]>([
    ["a usual call", 0.01, 10_000, 0],
    ["a usual call of an interpreter", 0.2, 3_000_000, 0],
    ["a usual call while others had the processor", 40, 10_000, 0],
    ["a long call of an interpreter while others had the processor", 40, 3_000_000, 4.5],
    ["a call that burns its budget", 3, 9_900_000, 3],
    ["the same while others had the processor", 400, 10_000_000, 15],
  ])("T-139: %s", (_, tookMs, fuel, costMs) => {
    expect(costOfAnswer(tookMs, fuel)).toBeCloseTo(costMs, 6);
  });
});
