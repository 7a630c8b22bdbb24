import { describe, expect, test } from "bun:test";
import type { Log, RedirectFault } from "../../core/ports.ts";
import { makeKernelCheck } from "./kernel-check.ts";

function set(pinFolder = "/sys/fs/bpf/x", notPinned?: string) {
  const lines: string[] = [];
  const tell = (event: string, fields: Readonly<Record<string, unknown>>) => void lines.push(`${event} ${fields.message ?? ""}`.trim());
  const log: Log = { error: tell, warn: tell, info: tell, debug: tell };
  const state = { faults: [] as RedirectFault[], notPinned, changes: 0 };
  const redirector = {
    verify: () => state.faults,
    get notPinned() {
      return state.notPinned;
    },
    takeover: "none",
  };
  const check = makeKernelCheck(
    redirector,
    () => new Set(),
    pinFolder,
    "all is well",
    log,
    () => void (state.changes += 1),
  );
  return { check, state, lines };
}

describe("makeKernelCheck", () => {
  test("says nothing while all is well", () => {
    const { check, state, lines } = set();
    check.run();
    check.run();
    expect(lines).toEqual(["redirect-pinned"]);
    expect(check.part.report()).toMatchObject({ health: "ok", message: "all is well", details: { pinned: true, repairs: 0, damage: [] } });
    expect(state.changes).toBe(0);
  });

  test("tells every repair", () => {
    const { check, state, lines } = set();
    state.faults = [{ what: "a pin was gone", repaired: true }];
    check.run();
    state.faults = [];
    check.run();
    expect(lines.slice(1)).toEqual(["redirect-repaired a pin was gone"]);
    expect(check.part.report()).toMatchObject({ health: "ok", details: { repairs: 1, lastFault: "a pin was gone" } });
  });

  test("tells damage once, and the status fails until it is gone", () => {
    const { check, state, lines } = set();
    state.faults = [{ what: "not in effect", repaired: false }];
    check.run();
    check.run();
    expect(lines.slice(1)).toEqual(["redirect-damaged not in effect"]);
    expect(check.part.report()).toMatchObject({ health: "failed", message: "redirect is damaged: not in effect" });
    state.faults = [];
    check.run();
    expect(check.part.report().health).toBe("ok");
    expect(state.changes).toBe(3);
  });

  test("unpinned is degraded and told once, until it is pinned after all", () => {
    const { check, state, lines } = set("/sys/fs/bpf/x", "no bpffs");
    check.run();
    expect(check.part.report()).toMatchObject({ health: "degraded", details: { pinned: false, notPinned: "no bpffs" } });
    state.notPinned = undefined;
    check.run();
    expect(lines).toEqual(["redirect-not-pinned no bpffs", "redirect-pinned"]);
    expect(check.part.report().health).toBe("ok");
  });

  test("unpinned by the config is as it should be", () => {
    const { check, lines } = set("", "switched off by the config");
    check.run();
    expect(lines).toEqual([]);
    expect(check.part.report()).toMatchObject({ health: "ok", details: { pinned: false } });
  });
});
