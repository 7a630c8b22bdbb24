import { describe, expect, test } from "bun:test";
import { DEFAULT_BUDGETS } from "./module-budgets.ts";
import type { ModuleEntry } from "./module-entry.ts";
import { standingNotes } from "./module-standing.ts";

const ENTRY: ModuleEntry = {
  name: "gate",
  enabled: true,
  audit: false,
  endpoints: ["imds", "hostga"],
  headers: [],
  budgets: DEFAULT_BUDGETS,
  componentSha256: "a".repeat(64),
  preparedSha256: "b".repeat(64),
  settingsSha256: "c".repeat(64),
  worldVersion: "1.0.0",
  signedBy: undefined,
  signatureSha256: undefined,
  pinned: false,
};

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
