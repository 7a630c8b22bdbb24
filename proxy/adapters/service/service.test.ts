import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findHolder, lockFolder } from "./instance-lock.ts";
import { openOwnSocket, takeInheritedSocket } from "./listening-socket.ts";
import { socketAddress, takeNotify } from "./notify.ts";

describe("takeNotify", () => {
  test("takes its words out of the environment and wants a watchdog only for this process", () => {
    const environment = { NOTIFY_SOCKET: "/run/x", WATCHDOG_USEC: "2000000", WATCHDOG_PID: "7", HOME: "/" };
    expect(takeNotify(environment, 7).watchdogMs).toBe(2000);
    expect(environment).toEqual({ HOME: "/" } as never);
    expect(takeNotify({ NOTIFY_SOCKET: "/run/x", WATCHDOG_USEC: "2000000", WATCHDOG_PID: "8" }, 7).watchdogMs).toBeUndefined();
  });

  test.each(["", "0", "-1", "1e3", "99999999999999999", "2 s"])("no watchdog for WATCHDOG_USEC %p", (microseconds) => {
    expect(takeNotify({ NOTIFY_SOCKET: "/run/x", WATCHDOG_USEC: microseconds }, 7).watchdogMs).toBeUndefined();
  });

  test.each([undefined, "", "/", "@", "relative", "vsock:2:1", "/nonexistent/socket", `/${"x".repeat(200)}`])(
    "tells nobody, without a fuss, on %p",
    (path) => {
      expect(takeNotify({ NOTIFY_SOCKET: path }, 7).send("READY=1")).toBe(false);
    },
  );
});

describe("socketAddress", () => {
  test("ends a path with NUL, begins an abstract name with one", () => {
    expect([...(socketAddress("/a") ?? [])]).toEqual([1, 0, 47, 97, 0]);
    expect([...(socketAddress("@a") ?? [])]).toEqual([1, 0, 0, 97]);
  });
});

describe("takeInheritedSocket", () => {
  const take = (environment: Record<string, string | undefined>) => takeInheritedSocket(environment, 7, "127.0.0.1", 3080);

  test.each([{}, { LISTEN_FDS: "1" }, { LISTEN_FDS: "1", LISTEN_PID: "8" }, { LISTEN_PID: "7" }])(
    "finds none for us in %p",
    (environment) => {
      expect(take({ ...environment })).toEqual({ ok: true, value: undefined });
    },
  );

  test.each(["0", "-1", "x", "", "1.0"])("refuses LISTEN_FDS %p", (count) => {
    const environment: Record<string, string | undefined> = { LISTEN_FDS: count, LISTEN_PID: "7", LISTEN_FDNAMES: "a" };
    expect(take(environment)).toMatchObject({ ok: false, error: { message: expect.stringContaining(`LISTEN_FDS "${count}"`) } });
    expect(environment).toEqual({});
  });
});

describe("openOwnSocket", () => {
  test("says that a port is taken", () => {
    using taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    expect(openOwnSocket("127.0.0.1", taken.port)).toEqual({
      ok: false,
      error: { kind: "in-use", message: `cannot listen on "127.0.0.1:${taken.port}": EADDRINUSE` },
    });
  });
});

describe("lockFolder", () => {
  test("is had once, and again when it is let go; the holder is named", () => {
    const folder = mkdtempSync(join(tmpdir(), "apa-lock-"));
    const first = lockFolder(folder);
    expect(first.ok).toBe(true);
    expect(lockFolder(folder)).toMatchObject({ ok: false, error: { kind: "held", pid: process.pid } });
    if (first.ok) first.value[Symbol.dispose]();
    const second = lockFolder(folder);
    expect(second.ok).toBe(true);
    if (second.ok) second.value[Symbol.dispose]();
    rmSync(folder, { recursive: true });
  });

  test("fails, and does not wait, where there is no folder", () => {
    expect(lockFolder("/nonexistent/folder")).toMatchObject({ ok: false, error: { kind: "failed" } });
  });

  test.each([
    ["the holder", "1: FLOCK  ADVISORY  WRITE 1234 08:01:4711 0 EOF", 1234],
    ["nobody for another inode", "1: FLOCK  ADVISORY  WRITE 1234 08:01:4712 0 EOF", undefined],
    ["nobody for another device", "1: FLOCK  ADVISORY  WRITE 1234 08:02:4711 0 EOF", undefined],
    ["nobody for a lock of another kind", "1: POSIX  ADVISORY  WRITE 1234 08:01:4711 0 EOF", undefined],
    ["nobody outside of the pid namespace", "1: FLOCK  ADVISORY  WRITE 0 08:01:4711 0 EOF", undefined],
    ["nobody who only waits", "1: -> FLOCK  ADVISORY  WRITE 1234 08:01:4711 0 EOF", undefined],
    ["nobody in nonsense", "\n x\n", undefined],
  ])("findHolder finds %s", (_, locks, pid) => {
    expect(findHolder(locks, { dev: 0x801n, ino: 4711n })).toBe(pid);
  });
});
