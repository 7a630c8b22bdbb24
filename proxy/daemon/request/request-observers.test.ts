import { expect, test } from "bun:test";
import type { Log } from "../../core/ports.ts";
import type { RequestEnd } from "./handle-request.ts";
import { makeRequestObservers } from "./request-observers.ts";

test("T-143: one that fails is told once, and the others are told of every request", () => {
  const errors: unknown[] = [];
  const log: Log = { error: (_event, { where }) => void errors.push(where), warn() {}, info() {}, debug() {} };
  const seen: string[] = [];
  const tell = makeRequestObservers(
    [
      [
        "summary",
        () => {
          throw new Error("a defect");
        },
      ],
      ["trail", ({ requestId }) => void seen.push(requestId)],
    ],
    log,
  );
  for (const requestId of ["a", "b"]) tell({ requestId } as unknown as RequestEnd);
  expect([seen, errors]).toEqual([["a", "b"], ["summary"]]);
});
