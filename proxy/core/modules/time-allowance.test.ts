import { describe, expect, test } from "bun:test";
import { CROWD, costOfAnswer, FOR_ANSWERS, FOR_FAILURES, PAUSE, PAUSE_FROM_MS, TimeAllowance } from "./time-allowance.ts";

describe("TimeAllowance", () => {
  test("a few failures cost nothing; then the user waits, and only that user", () => {
    const allowance = new TimeAllowance(FOR_FAILURES);
    expect(allowance.mayAsk(1000, 0)).toBe(true);
    allowance.charge(1000, FOR_FAILURES.userBurstMs, 0);
    expect(allowance.mayAsk(1000, PAUSE * FOR_FAILURES.userBurstMs)).toBe(true);
    allowance.charge(1000, 10, 0);
    expect([allowance.mayAsk(1000, 0), allowance.mayAsk(1001, 0)]).toEqual([false, true]);
    const paidMs = 10 / FOR_FAILURES.userShare;
    expect([allowance.mayAsk(1000, paidMs - 1), allowance.mayAsk(1000, paidMs)]).toEqual([false, true]);
  });

  test("T-139: from some debt on users in debt wait after every charge, whoever's it was; who owes nothing is asked at once", () => {
    const allowance = new TimeAllowance(FOR_FAILURES);
    allowance.charge(1000, PAUSE_FROM_MS, 0);
    expect(allowance.mayAsk(1000, 0)).toBe(true);
    allowance.charge(1001, 3, 10);
    const endMs = 10 + 3 * PAUSE;
    for (const user of [1000, 1001]) expect([allowance.mayAsk(user, endMs - 1), allowance.mayAsk(user, endMs)]).toEqual([false, true]);
    expect(allowance.mayAsk(1002, 10)).toBe(true);
    allowance.charge(0, 3, endMs);
    expect([allowance.mayAsk(0, endMs), allowance.mayAsk(1000, endMs)]).toEqual([true, false]);
  });

  test("T-139: when many owe, those who owe nothing wait as well, but for root; when one has paid, they do not", () => {
    const allowance = new TimeAllowance(FOR_FAILURES);
    const costMs = 5;
    for (let user = 1; user <= CROWD; user++) {
      expect(allowance.mayAsk(user, 0)).toBe(true);
      allowance.charge(user, costMs, 0);
    }
    expect([allowance.mayAsk(9, 0), allowance.mayAsk(0, 0), allowance.mayAsk(9, PAUSE * costMs)]).toEqual([false, true, true]);
    const paidMs = costMs / FOR_FAILURES.userShare;
    allowance.charge(1, PAUSE_FROM_MS, paidMs);
    expect(allowance.mayAsk(9, paidMs)).toBe(true);
  });

  test("T-139: many users in debt do not have root denied; root has a debt of its own", () => {
    const allowance = new TimeAllowance(FOR_FAILURES);
    for (let user = 1; user <= 8; user++) allowance.charge(user, 40, 0);
    expect([allowance.mayAsk(0, 0), allowance.mayAsk(9, 0)]).toEqual([true, false]);
    allowance.charge(0, FOR_FAILURES.userBurstMs + 1, 0);
    expect(allowance.mayAsk(0, 0)).toBe(false);
  });

  test("T-134: one user's failures take at most their share of the time, whatever they cost", () => {
    const allowance = new TimeAllowance(FOR_FAILURES);
    let spentMs = 0;
    for (let nowMs = 0; nowMs < 100_000; nowMs += 5) {
      if (!allowance.mayAsk(1000, nowMs)) continue;
      allowance.charge(1000, 30, nowMs);
      spentMs += 30;
    }
    expect(spentMs).toBeLessThanOrEqual(FOR_FAILURES.userBurstMs + 30 + FOR_FAILURES.userShare * 100_000);
    expect(spentMs).toBeGreaterThan(FOR_FAILURES.userShare * 50_000);
  });

  test("T-134: many users together take at most the total's share", () => {
    const allowance = new TimeAllowance(FOR_FAILURES);
    let spentMs = 0;
    for (let nowMs = 0; nowMs < 100_000; nowMs++) {
      const user = nowMs % 500;
      if (!allowance.mayAsk(user, nowMs)) continue;
      allowance.charge(user, 30, nowMs);
      spentMs += 30;
    }
    expect(spentMs).toBeLessThanOrEqual(FOR_FAILURES.totalBurstMs + 30 + FOR_FAILURES.totalShare * 100_000);
  });
});

test("T-139: many users with slow calls take at most the total's share, and are kept apart", () => {
  const allowance = new TimeAllowance(FOR_ANSWERS);
  let spentMs = 0;
  for (let nowMs = 0; nowMs < 100_000; nowMs++) {
    const user = 1 + (nowMs % 500);
    if (!allowance.mayAsk(user, nowMs)) continue;
    allowance.charge(user, 5, nowMs);
    spentMs += 5;
  }
  expect(spentMs).toBeLessThanOrEqual(FOR_ANSWERS.totalBurstMs + 5 + FOR_ANSWERS.totalShare * 100_000);
});

test("a user whose good calls are slow now and then is never denied", () => {
  const allowance = new TimeAllowance(FOR_ANSWERS);
  // Four thousand calls a second, of which one in a hundred is charged with a millisecond.
  for (let call = 0; call < 100_000; call++) {
    const nowMs = call / 4;
    expect(allowance.mayAsk(1000, nowMs)).toBe(true);
    if (call % 100 === 0) allowance.charge(1000, 1, nowMs);
  }
});

describe("costOfAnswer", () => {
  test.each<[string, number, number, number]>([
    ["a usual call", 0.01, 10_000, 0],
    ["a usual call of an interpreter", 0.2, 3_000_000, 0],
    ["a small call of an interpreter while others had the processor", 40, 900_000, 0],
    ["a usual call while others had the processor", 40, 10_000, 0],
    ["a long call of an interpreter while others had the processor", 40, 3_000_000, 4.8],
    ["a call that burns its budget", 3, 9_900_000, 3],
    ["the same while others had the processor", 400, 10_000_000, 16],
  ])("T-139: %s", (_, tookMs, fuel, costMs) => {
    expect(costOfAnswer(tookMs, fuel)).toBeCloseTo(costMs, 6);
  });
});
