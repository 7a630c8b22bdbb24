import { expect, test } from "bun:test";
import { makeHostContactPart } from "./host-contact.ts";

const NOW_MS = Date.parse("2026-07-22T21:30:00.000Z");

test.each([
  [{ lastContactMs: undefined, clockOffsetMs: undefined }, { lastContact: "" }],
  [{ lastContactMs: 4_000, clockOffsetMs: undefined }, { lastContact: "2026-07-22T21:29:54.000Z" }],
  [
    { lastContactMs: 10_000, clockOffsetMs: -7 },
    { lastContact: "2026-07-22T21:30:00.000Z", clockOffsetMs: -7 },
  ],
])("%p is told as %p", (keeper, details) => {
  const part = makeHostContactPart({ keeper: () => keeper, localNowMs: () => NOW_MS, monotonicMs: () => 10_000 });
  expect(part.report()).toEqual({ health: "ok", message: "", details });
});
