import { expect, test } from "bun:test";
import { makeAccountsWatch } from "./accounts-watch.ts";

test("T-192: says once that the database does not answer, and once that it does again", () => {
  const lines: string[] = [];
  const tell = (event: string) => void lines.push(event);
  const state: { late: { uid: number; forMs: number } | undefined; changes: number } = { late: undefined, changes: 0 };
  const watch = makeAccountsWatch(
    () => state.late,
    { error: tell, warn: tell, info: tell, debug: tell },
    () => void (state.changes += 1),
  );
  watch.look();
  expect([lines, watch.part.report().health]).toEqual([[], "ok"]);
  state.late = { uid: 5001, forMs: 34_000 };
  watch.look();
  watch.look();
  expect(watch.part.report()).toMatchObject({
    health: "degraded",
    message: expect.stringContaining("does not answer: user id 5001 was looked up 34 s ago"),
  });
  state.late = undefined;
  watch.look();
  expect([lines, state.changes]).toEqual([["accounts-unanswered", "accounts-answered"], 2]);
});
