import { expect, test } from "bun:test";
import { makeQuietTime } from "./quiet-time.ts";

test("memory is given back once after each burst, never while requests come", () => {
  let requests = 0;
  let released = 0;
  let codeReleased = 0;
  const quiet = makeQuietTime({ requests: () => requests, release: () => void released++, releaseCode: () => void codeReleased++ });
  const releasedAfter = (served: number) => {
    requests += served;
    quiet.afterPoll();
    return released;
  };
  expect([0, 0, 0, 5, 7, 0, 0, 0, 1, 0].map(releasedAfter)).toEqual([0, 1, 1, 1, 1, 2, 2, 2, 2, 3]);
  // Each further poll without requests: only what the poll itself brought back.
  expect(codeReleased).toBe(3);
});
