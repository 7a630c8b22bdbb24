import { expect, test } from "bun:test";
import { err, ok, type Result } from "../core/result.ts";
import { makeLatestWrite } from "./latest-write.ts";

type Written = Result<void, { readonly message: string }>;

test("T-146: a disk that hangs has one write at a time, and only the newest waits", async () => {
  const begun: [content: string, end: (written: Written) => void][] = [];
  const told: string[] = [];
  const latest = makeLatestWrite<string>((content) => {
    const { promise, resolve } = Promise.withResolvers<Written>();
    begun.push([content, resolve]);
    return promise;
  });
  for (const content of ["a", "b", "c"]) latest.put(content, (written) => told.push(`${content} ${written.ok}`));
  expect(begun.map(([content]) => content)).toEqual(["a"]);
  begun[0]?.[1](ok(undefined));
  await Bun.sleep(0);
  expect(begun.map(([content]) => content)).toEqual(["a", "c"]);
  begun[1]?.[1](err({ message: "no room" }));
  await latest.settled();
  expect(told).toEqual(["a true", "c false"]);
  latest.put("d", () => {});
  expect(begun.map(([content]) => content)).toEqual(["a", "c", "d"]);
});
