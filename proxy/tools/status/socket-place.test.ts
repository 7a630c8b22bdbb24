import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { examineSocket } from "./socket-place.ts";

const ME = process.geteuid?.() ?? 0;
let folder: string;
let path: string;
let server: ReturnType<typeof Bun.listen>;

beforeEach(() => {
  // Below the sticky /tmp, as root's folders may be.
  folder = mkdtempSync(join(tmpdir(), "socket-place-"));
  mkdirSync(join(folder, "agent"), { mode: 0o755 });
  path = join(folder, "agent/control.sock");
  server = Bun.listen({ unix: path, socket: { data() {} } }) as unknown as ReturnType<typeof Bun.listen>;
});

afterEach(() => {
  server.stop(true);
  rmSync(folder, { recursive: true, force: true });
});

describe("examineSocket", () => {
  test("trusts a socket that only its owner can have placed", () => {
    expect(examineSocket(path, ME)).toEqual({ kind: "trusted" });
  });

  test.each(["agent/other.sock", "nothing/control.sock", "agent/control.sock/below"])("finds none at %p", (name) => {
    expect(["absent", "doubtful"]).toContain(examineSocket(join(folder, name), ME).kind);
    expect(examineSocket(join(folder, name), ME).kind).not.toBe("trusted");
  });

  test.each([
    ["agent", 0o775],
    ["agent", 0o757],
    ["agent", 0o1777],
    [".", 0o775],
    [".", 0o707],
  ])("T-170: does not trust it when %p has the mode %o", (name, mode) => {
    chmodSync(join(folder, name), mode);
    expect(examineSocket(path, ME)).toEqual({ kind: "doubtful", message: `others may write to "${join(folder, name)}"` });
  });

  test("a sticky folder further up does no harm", () => {
    chmodSync(folder, 0o1777);
    expect(examineSocket(path, ME)).toEqual({ kind: "trusted" });
  });

  test("T-170: does not follow links, and takes nothing else for a socket", () => {
    symlinkSync(join(folder, "agent"), join(folder, "link"));
    expect(examineSocket(join(folder, "link/control.sock"), ME)).toEqual({
      kind: "doubtful",
      message: `"${join(folder, "link")}" is no folder`,
    });
    renameSync(path, join(folder, "agent/real.sock"));
    symlinkSync(join(folder, "agent/real.sock"), path);
    expect(examineSocket(path, ME)).toEqual({ kind: "doubtful", message: `"${path}" is no socket` });
    rmSync(path);
    writeFileSync(path, "");
    expect(examineSocket(path, ME)).toEqual({ kind: "doubtful", message: `"${path}" is no socket` });
  });

  test.skipIf(ME !== 0)("T-170: does not trust a socket or a folder of another user", () => {
    chownSync(path, 65534, 65534);
    expect(examineSocket(path)).toEqual({ kind: "doubtful", message: `uid 65534 owns "${path}"` });
    chownSync(path, 0, 0);
    chownSync(join(folder, "agent"), 65534, 65534);
    expect(examineSocket(path)).toEqual({ kind: "doubtful", message: `uid 65534 owns "${join(folder, "agent")}"` });
  });
});
