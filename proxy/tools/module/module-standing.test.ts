import { describe, expect, test } from "bun:test";
import { moduleEntry } from "../../../test/support/module-entry.ts";
import { standingNotes } from "./module-standing.ts";

const ENTRY = moduleEntry({ endpoints: ["imds", "hostga"] });

describe("standingNotes", () => {
  test("says nothing about a module whose answer counts", () => {
    expect(standingNotes(ENTRY, "hostga")).toEqual([]);
  });

  test.each([
    [{ enabled: false }, "it is disabled: the agent does not ask it"],
    [{ audit: true }, "it is in audit: the agent records its denies and does not apply them"],
    [{ endpoints: ["wireserver"] as const }, "the agent asks it at wireserver only, not at imds"],
  ])("says what keeps the answer of %p from counting", (change, note) => {
    expect(standingNotes({ ...ENTRY, ...change }, "imds")).toEqual([note]);
  });
});
