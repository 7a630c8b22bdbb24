// Which program a caller runs is claimed only when the agent can reach the very file that the kernel pinned. Needs root.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { linkSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { makeIdentify } from "../../proxy/adapters/proc/identify.ts";
import type { AuditRecord } from "../../proxy/core/request/caller.ts";
import { identifyInTime, NOTHING, openWorkshop, pinnedRecord, programOf, untilRuns, type Workshop } from "../support/pinned-process.ts";

const PEER = { address: "127.0.0.1", port: 40_000 };
const identify = makeIdentify({ kernelProcessId: process.pid });
const programIn = async (record: AuditRecord) => programOf(await identifyInTime(identify, record, "imds", PEER));
/** Starts a shell in a mount namespace of its own; what it mounts ends with it. */
const inPrivateMounts = (script: string) => ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script];

let shop: Workshop;
beforeEach(() => {
  shop = openWorkshop();
});
afterEach(() => shop[Symbol.dispose]());

describe("the executable is known", () => {
  test.each(["prog", "with blank", "new\nline", "ends (deleted)", "\u00e9\u{1F600}", ") R 1 2 3 ("])(
    "when it is a plain file called %p",
    async (name) => {
      const path = shop.program(name);
      const pid = await shop.start([path, "60"]);
      expect(await programIn(pinnedRecord(pid))).toEqual({ path, name, commandLine: `${path} 60`, doubts: [] });
    },
  );

  test("under the link it was started by, when the file has several", async () => {
    const first = shop.program("first");
    const second = join(shop.folder, "second");
    linkSync(first, second);
    const pid = await shop.start([second, "60"]);
    expect(await programIn(pinnedRecord(pid))).toMatchObject({ path: second, name: "second", doubts: [] });
  });

  test("by its true path, when it was started through a symbolic link", async () => {
    const path = shop.program("prog");
    const link = join(shop.folder, "link");
    symlinkSync(path, link);
    const pid = await shop.start([link, "60"], path);
    expect(await programIn(pinnedRecord(pid))).toMatchObject({ path, name: "prog", doubts: [] });
  });

  test("when the process has mounts of its own but runs the same file", async () => {
    const path = shop.program("prog");
    const pid = await shop.start(inPrivateMounts(`mount -t tmpfs none /mnt; exec ${path} 60`), path);
    expect(await programIn(pinnedRecord(pid))).toMatchObject({ path, doubts: [] });
  });

  const lower = "mount -t tmpfs lower l; cp prog l/low; cp prog l/both";
  test.each([
    ["one file system", "mkdir l u w m; cp prog l/low; cp prog l/both; mount -t overlay none -o lowerdir=l,upperdir=u,workdir=w m"],
    [
      "several file systems",
      `mkdir l s m; ${lower}; mount -t tmpfs up s; mkdir s/u s/w; mount -t overlay none -o lowerdir=l,upperdir=s/u,workdir=s/w m`,
    ],
    ["read-only layers", `mkdir l s m; ${lower}; mount -t tmpfs up s; cp prog s/top; mount -t overlay none -o lowerdir=s:l,xino=off m`],
  ])("when it runs from an overlay of %s that the agent sees too", async (_, mounts) => {
    shop.program("prog");
    const once = join(import.meta.dir, "../support/identify-once.ts");
    // The agent's part runs inside the same mount namespace here.
    const script = `cd ${shop.folder}; ${mounts}; touch m/both 2>/dev/null || true
      for name in low both; do ./m/$name 60 & pid=$!; until [ "$(readlink /proc/$pid/exe)" = "$PWD/m/$name" ]; do sleep 0.01; done
      ${process.execPath} ${once} $pid; kill $pid; done`;
    const run = Bun.spawn(inPrivateMounts(script), { stdout: "pipe", stderr: "inherit" });
    const found = (await new Response(run.stdout).text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
    const want = ["low", "both"].map((name) => ({ path: `${shop.folder}/m/${name}`, name, commandLine: `./m/${name} 60`, doubts: [] }));
    expect(found).toEqual(want);
  });
});

describe("the executable is unknown", () => {
  test("T-33: when the process runs another program than when it connected", async () => {
    const path = shop.program("other");
    const shell = (await Bun.$`readlink -f /bin/sh`.text()).trim();
    const gate = await shop.startGated(["/bin/sh", "-c", `read word; exec ${path} 60`], shell);
    const record = pinnedRecord(gate.pid);
    expect(await programIn(record)).toMatchObject({ path: shell, doubts: [] });
    gate.open();
    await untilRuns(gate.pid, path);
    expect(await programIn(record)).toEqual({
      path: undefined,
      name: undefined,
      commandLine: "",
      doubts: [`process ${gate.pid} runs another program than when it connected`],
    });
  });

  test("when the process has ended, while its user stays known", async () => {
    const pid = await shop.start([shop.program("prog"), "60"]);
    const record = pinnedRecord(pid);
    await shop.end(pid);
    expect(await programIn(record)).toEqual({ path: undefined, name: undefined, commandLine: "", doubts: [`process ${pid} has exited`] });
    expect((await identify(record, "imds", PEER)).claims).toMatchObject({ userName: "root", userId: 0, processId: pid });
  });

  test("when the process has ended but nobody has waited for it yet", async () => {
    const path = shop.program("prog");
    const parent = Bun.spawn(
      ["python3", "-c", `import subprocess,sys; p=subprocess.Popen(["${path}","60"]); print(p.pid,flush=True); sys.stdin.read()`],
      {
        stdin: "pipe",
        stdout: "pipe",
      },
    );
    try {
      const { value } = await parent.stdout.getReader().read();
      const pid = Number(new TextDecoder().decode(value));
      await untilRuns(pid, path);
      const record = pinnedRecord(pid);
      process.kill(pid, "SIGKILL");
      await untilRuns(pid, NOTHING);
      expect(await programIn(record)).toMatchObject({ path: undefined, commandLine: "", doubts: [`process ${pid} has exited`] });
    } finally {
      parent.kill();
      await parent.exited;
    }
  });

  test.each([-10_000_000n, 10_000_000n, -1_000_000_000n])(
    "when the number belongs to another process by now, started %p ns apart",
    async (off) => {
      const record = pinnedRecord(await shop.start([shop.program("prog"), "60"]));
      const found = await programIn({ ...record, startTimeNs: (record.startTimeNs ?? 0n) + off });
      expect(found).toMatchObject({ path: undefined, name: undefined, commandLine: "" });
      expect(found.doubts[0]).toContain("is another one now");
    },
  );

  test("when the kernel could not record start time or executable", async () => {
    const record = pinnedRecord(await shop.start([shop.program("prog"), "60"]));
    for (const [lacking, reason] of [
      [{ startTimeNs: undefined }, "no BTF"],
      [{ executable: undefined }, "a kernel thread"],
    ] as const) {
      const found = await programIn({ ...record, ...lacking });
      expect(found).toMatchObject({ path: undefined, commandLine: "" });
      expect(found.doubts[0]).toContain(reason);
    }
  });

  test("when the agent and the kernel count processes differently", async () => {
    const record = pinnedRecord(await shop.start([shop.program("prog"), "60"]));
    const caller = await makeIdentify({ kernelProcessId: process.pid + 1 })(record, "imds", PEER);
    expect(programOf(caller)).toMatchObject({ path: undefined, commandLine: "" });
    expect(caller.doubts[0]).toContain("pid namespace");
  });

  test.each(["device", "inode"] as const)("when only the %s differs from the record", async (part) => {
    const record = pinnedRecord(await shop.start([shop.program("prog"), "60"]));
    const { executable } = record;
    if (executable === undefined) throw new Error("no executable");
    const changed = part === "device" ? { ...executable, device: executable.device + 1 } : { ...executable, inode: executable.inode + 1n };
    expect((await programIn({ ...record, executable: changed })).path).toBeUndefined();
  });

  test("T-47: when the file was deleted, and when another file took its place", async () => {
    const path = shop.program("prog");
    const pid = await shop.start([path, "60"]);
    const record = pinnedRecord(pid);
    rmSync(path);
    const deleted = { path: undefined, name: undefined, commandLine: `${path} 60` };
    expect(await programIn(record)).toEqual({
      ...deleted,
      doubts: [`the executable "${path} (deleted)" is not there in the agent's mount namespace`],
    });
    shop.program("prog");
    expect((await programIn(record)).path).toBeUndefined();
    shop.program("prog (deleted)");
    expect(await programIn(record)).toEqual({
      ...deleted,
      doubts: [`the executable "${path} (deleted)" is another file in the agent's mount namespace`],
    });
  });

  test("T-47: when it is a memory file", async () => {
    const code = `import os,shutil; fd=os.memfd_create("prog", 0); os.write(fd, open("/bin/sleep","rb").read()); os.execve(fd, ["sleep","60"], {})`;
    const pid = await shop.start(["python3", "-c", code], "/memfd:prog (deleted)");
    const found = await programIn(pinnedRecord(pid));
    expect(found).toMatchObject({ path: undefined, name: undefined });
    expect(found.doubts.length).toBe(1);
  });

  test("T-39: when another file is mounted over the path it claims", async () => {
    const allowed = shop.program("allowed");
    const evil = shop.program("evil");
    const pid = await shop.start(inPrivateMounts(`mount --bind ${evil} ${allowed}; exec ${allowed} 60`), allowed);
    expect(await programIn(pinnedRecord(pid))).toEqual({
      path: undefined,
      name: undefined,
      commandLine: `${allowed} 60`,
      doubts: [`the executable "${allowed}" is another file in the agent's mount namespace`],
    });
  });

  test("T-39: when a whole folder is mounted over the path it claims", async () => {
    const evil = shop.program("evil");
    mkdirSync(join(shop.folder, "bin"));
    const script = `mount -t tmpfs none ${shop.folder}/bin; cp ${evil} ${shop.folder}/bin/prog; exec ${shop.folder}/bin/prog 60`;
    const path = join(shop.folder, "bin/prog");
    const pid = await shop.start(inPrivateMounts(script), path);
    const unseen = [`the executable "${path}" is not there in the agent's mount namespace`];
    expect(await programIn(pinnedRecord(pid))).toMatchObject({ path: undefined, commandLine: `${path} 60`, doubts: unseen });
    symlinkSync(evil, path);
    expect((await programIn(pinnedRecord(pid))).path).toBeUndefined();
  });

  test("when it runs from an overlay that the agent does not see", async () => {
    const path = shop.program("prog");
    const script = `cd ${shop.folder}; mkdir u w l; cp prog l/prog; mount -t overlay none -o lowerdir=l,upperdir=u,workdir=w ${shop.folder}; exec ${path} 60`;
    const pid = await shop.start(inPrivateMounts(script), path);
    expect(await programIn(pinnedRecord(pid))).toMatchObject({ path: undefined, commandLine: `${path} 60` });
  });

  test("when its path is not valid UTF-8", async () => {
    const path = shop.program("prog");
    const odd = Buffer.concat([Buffer.from(`${shop.folder}/x`), Buffer.from([0xff])]);
    const code = `import os; p=b"${shop.folder}/x\\xff"; os.link("${path}", p); os.execv(p, ["x", "60"])`;
    const program = await programIn(pinnedRecord(await shop.start(["python3", "-c", code], odd)));
    expect(program).toMatchObject({ path: undefined, doubts: ["the path of the executable is too long or not valid UTF-8"] });
  });
});
