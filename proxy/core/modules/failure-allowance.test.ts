import { describe, expect, test } from "bun:test";
import { FailureAllowance, TOTAL_BURST_MS, TOTAL_SHARE, USER_BURST_MS, USER_SHARE } from "./failure-allowance.ts";

describe("FailureAllowance", () => {
  test("a few failures cost nothing; then the user waits, and only that user", () => {
    const allowance = new FailureAllowance();
    expect(allowance.mayAsk(1000, 0)).toBe(true);
    allowance.charge(1000, USER_BURST_MS, 0);
    expect(allowance.mayAsk(1000, 0)).toBe(true);
    allowance.charge(1000, 10, 0);
    expect([allowance.mayAsk(1000, 0), allowance.mayAsk(1001, 0)]).toEqual([false, true]);
    const paidMs = 10 / USER_SHARE;
    expect([allowance.mayAsk(1000, paidMs - 1), allowance.mayAsk(1000, paidMs)]).toEqual([false, true]);
  });

  test("T-134: one user's failures take at most their share of the time, whatever they cost", () => {
    const allowance = new FailureAllowance();
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
    const allowance = new FailureAllowance();
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
