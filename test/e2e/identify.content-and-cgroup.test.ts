// The caller's cgroup path and the hash of its executable, as the whole port tells them. Needs root and the sandbox's cgroup.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { findCgroupRoot } from "../../proxy/adapters/ebpf/cgroup.ts";
import { makeIdentify } from "../../proxy/adapters/proc/identify.ts";
import type { AuditRecord } from "../../proxy/core/request/caller.ts";
import { HASH_FILES_COMMAND, ownCommand } from "../../proxy/daemon/own-command.ts";
import { openWorkshop, pinnedRecord, type Workshop } from "../support/pinned-process.ts";
import { requireSandbox } from "../support/sandbox.ts";

const sandbox = requireSandbox();
const found = findCgroupRoot();
if (!found.ok) throw new Error(found.error.message);
const root = found.value;
const PEER = { address: "127.0.0.1", port: 40_000 };

let wanted = true;
const identify = makeIdentify({
  kernelProcessId: process.pid,
  cgroupRoot: root,
  executableHash: { wanted: () => wanted, command: ownCommand(HASH_FILES_COMMAND) },
});

let shop: Workshop;
const made: string[] = [];
beforeEach(() => {
  shop = openWorkshop();
  wanted = true;
});
afterEach(() => {
  shop[Symbol.dispose]();
  for (const folder of made.splice(0).reverse()) removeWhenEmpty(folder);
});

/** A cgroup whose processes were just killed stays busy for a moment. */
function removeWhenEmpty(folder: string): void {
  for (const end = Date.now() + 5_000; ; Bun.sleepSync(10)) {
    try {
      rmdirSync(folder);
      return;
    } catch (cause) {
      const { code } = cause as { readonly code?: string };
      if (code === "ENOENT") return;
      if (Date.now() > end) throw cause;
    }
  }
}

function makeCgroup(name: string): { readonly path: string; readonly claim: string; readonly id: bigint } {
  const path = join(sandbox.cgroupPath, name);
  mkdirSync(path);
  made.push(path);
  return { path, claim: path.slice(root === "/" ? 0 : root.length), id: idOf(path) };
}

function idOf(path: string): bigint {
  return statSync(path, { bigint: true }).ino;
}

const move = (pid: number, cgroup: string) => writeFileSync(join(cgroup, "cgroup.procs"), String(pid));
const pathIn = async (record: AuditRecord) => {
  const { claims, doubts } = await identify(record, "imds", PEER);
  return { path: claims.cgroupPath, doubts };
};

describe("the cgroup path", () => {
  test("is that of the pinned cgroup", async () => {
    const cgroup = makeCgroup("a b.service");
    const pid = await shop.start([shop.program("prog"), "60"]);
    move(pid, cgroup.path);
    expect(await pathIn(pinnedRecord(pid, { cgroupId: cgroup.id }))).toEqual({ path: cgroup.claim, doubts: [] });
  });

  test("is / for the root", async () => {
    const pid = await shop.start([shop.program("prog"), "60"]);
    expect(await pathIn(pinnedRecord(pid, { cgroupId: 1n }))).toEqual({ path: "/", doubts: [] });
  });

  test("T-68: is unknown when the caller moved on before it was looked at", async () => {
    const [first, second] = [makeCgroup("first"), makeCgroup("second")];
    const pid = await shop.start([shop.program("prog"), "60"]);
    move(pid, second.path);
    const { path, doubts } = await pathIn(pinnedRecord(pid, { cgroupId: first.id }));
    expect(path).toBeUndefined();
    expect(doubts).toEqual([`cannot tell the path of cgroup ${first.id}: process ${pid} has left it, or it is gone`]);
  });

  test("T-68: is still known of a cgroup met before, and no longer once it was made anew", async () => {
    const cgroup = makeCgroup("again");
    const pid = await shop.start([shop.program("prog"), "60"]);
    move(pid, cgroup.path);
    const record = pinnedRecord(pid, { cgroupId: cgroup.id });
    expect((await pathIn(record)).path).toBe(cgroup.claim);
    move(pid, dirname(cgroup.path));
    expect((await pathIn(record)).path).toBe(cgroup.claim);
    removeWhenEmpty(cgroup.path);
    mkdirSync(cgroup.path);
    move(pid, cgroup.path);
    // Same name, another cgroup: the pinned one is gone.
    expect(idOf(cgroup.path)).not.toBe(cgroup.id);
    expect((await pathIn(record)).path).toBeUndefined();
    expect((await pathIn({ ...record, cgroupId: idOf(cgroup.path) })).path).toBe(cgroup.claim);
  });

  test("is unknown when nobody has that id", async () => {
    const pid = await shop.start([shop.program("prog"), "60"]);
    expect((await pathIn(pinnedRecord(pid, { cgroupId: 2n ** 63n })))?.path).toBeUndefined();
  });
});

describe("the executable's hash", () => {
  test("is claimed while it is wanted, and not looked for otherwise", async () => {
    const path = shop.program("prog");
    const pid = await shop.start([path, "60"]);
    const record = pinnedRecord(pid);
    const want = createHash("sha256").update(readFileSync(path)).digest("hex");
    expect((await identify(record, "imds", PEER)).claims.executableSha256).toBe(want);
    wanted = false;
    expect((await identify(record, "imds", PEER)).claims.executableSha256).toBeUndefined();
  });

  test("is known of a program in a mount namespace of its own, whose path is not", async () => {
    const path = shop.program("prog");
    const script = `mount -t tmpfs none /mnt; cp ${path} /mnt/inside; exec /mnt/inside 60`;
    const pid = await shop.start(["unshare", "--mount", "--propagation", "private", "sh", "-ec", script], "/mnt/inside");
    const { claims } = await identify(pinnedRecord(pid), "imds", PEER);
    expect(claims.processFullPath).toBeUndefined();
    expect(claims.executableSha256).toBe(createHash("sha256").update(readFileSync(path)).digest("hex"));
  });

  test("is unknown when the process runs another program by now", async () => {
    const path = shop.program("prog");
    const pid = await shop.start([path, "60"]);
    const other = await shop.start([shop.program("other"), "60"]);
    const { claims } = await identify(pinnedRecord(pid, { executable: pinnedRecord(other).executable }), "imds", PEER);
    expect(claims.executableSha256).toBeUndefined();
  });
});
