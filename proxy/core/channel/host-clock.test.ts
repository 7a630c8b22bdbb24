import { describe, expect, test } from "bun:test";
import { hostNowMs, makeDateRenderer, parseHttpDate } from "./host-clock.ts";

describe("parseHttpDate", () => {
  test("reads the one form the host sends", () => {
    expect(parseHttpDate("Wed, 23 Apr 2025 12:00:00 GMT")).toBe(Date.UTC(2025, 3, 23, 12));
  });

  test.each([
    undefined,
    "",
    "now",
    "Wed, 23 Apr 2025 12:00:00",
    "Thu, 23 Apr 2025 12:00:00 GMT",
    "Mon, 31 Feb 2025 12:00:00 GMT",
    "wed, 23 apr 2025 12:00:00 gmt",
    "2025-04-23T12:00:00Z",
    "Wed, 23 Apr 2025 25:00:00 GMT",
  ])("refuses %p", (text) => {
    expect(parseHttpDate(text)).toBeUndefined();
  });
});

describe("hostNowMs", () => {
  test("is the local clock until the host has told its time", () => {
    expect(hostNowMs(undefined, 1_000, 5)).toBe(1_000);
  });

  test("follows the host however wrong the local clock is", () => {
    expect(hostNowMs({ hostMs: 50_000, monotonicMs: 100 }, 9_999_999, 350)).toBe(50_250);
  });
});

describe("makeDateRenderer", () => {
  test("renders each second as RFC 1123", () => {
    const render = makeDateRenderer();
    const noon = Date.UTC(2025, 3, 23, 12);
    expect([render(noon), render(noon + 999), render(noon + 1000)]).toEqual([
      "Wed, 23 Apr 2025 12:00:00 GMT",
      "Wed, 23 Apr 2025 12:00:00 GMT",
      "Wed, 23 Apr 2025 12:00:01 GMT",
    ]);
  });
});
