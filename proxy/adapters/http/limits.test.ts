import { expect, test } from "bun:test";
import { connectionCap, DEFAULT_HTTP_LIMITS } from "./limits.ts";

test.each([
  [4096, 1_048_576, 4096],
  [4096, 1024, 448],
  [4096, 256, 64],
  [4096, 64, 1],
  [10, 1024, 10],
])("a cap of %d under %d descriptors is %d", (wanted, descriptors, cap) => {
  expect(connectionCap(wanted, descriptors)).toBe(cap);
});

test("every default limit is a positive number", () => {
  expect(Object.values(DEFAULT_HTTP_LIMITS).every((limit) => Number.isFinite(limit) && limit > 0)).toBe(true);
});
