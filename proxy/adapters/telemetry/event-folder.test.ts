import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { genericEvent } from "../../../test/support/telemetry.ts";
import { makeEventFolder } from "./event-folder.ts";

const OWNER = process.getuid?.() ?? 0;
let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "event-folder-")), "events");
});
afterEach(() => rmSync(join(folder, ".."), { recursive: true, force: true }));

const EXTENSION = JSON.stringify({
  extension: { name: "n", version: "1", is_internal: true, extension_type: "t" },
  operation_status: { operation_success: true, operation: "o", task_name: "k", message: "m", duration: 5 },
  ...{ event_pid: "1", event_tid: "2", time_stamp: "2026-01-02T03:04:05Z" },
});

function makeFolder(maxFiles = 30, nowMs = 1_700_000_000_000) {
  return makeEventFolder(folder, OWNER, maxFiles, () => nowMs);
}

function place(name: string, content: string, mode = 0o600): string {
  mkdirSync(folder, { recursive: true, mode: 0o750 });
  writeFileSync(join(folder, name), content, { mode });
  return join(folder, name);
}

describe("makeEventFolder", () => {
  test("keeps events for few eyes and gives them back once, oldest first", async () => {
    const events = makeFolder();
    const [one, two] = [genericEvent("one"), genericEvent("two")];
    expect([await events.keep([one]), await events.keep([two])]).toEqual([
      { ok: true, value: undefined },
      { ok: true, value: undefined },
    ]);
    expect(readdirSync(folder).sort()).toEqual(["1700000000000000000.json", "1700000000001000000.json"]);
    expect([statSync(folder).mode & 0o777, statSync(join(folder, "1700000000000000000.json")).mode & 0o777]).toEqual([0o750, 0o640]);
    expect(await events.take("kept", 1000)).toEqual({ ok: true, value: { events: [one, two], refused: [] } });
    expect(readdirSync(folder)).toEqual([]);
  });

  test("takes no more than there is room for; the rest stays", async () => {
    const events = makeFolder();
    for (let n = 0; n < 3; n++) await events.keep([genericEvent(`${n}`), genericEvent(`${n}`)]);
    const taken = await events.take("kept", 5);
    expect(taken.ok && taken.value.events.length).toBe(4);
    expect(readdirSync(folder).length).toBe(1);
  });

  test("T-99: a full folder takes no more", async () => {
    const events = makeFolder(2);
    await events.keep([genericEvent("1")]);
    await events.keep([genericEvent("2")]);
    const kept = await events.keep([genericEvent("3")]);
    expect(kept.ok ? "" : kept.error).toContain("has 2 files");
    expect(readdirSync(folder).length).toBe(2);
  });

  test("an extension's files are another kind, and other names are left alone", async () => {
    for (const name of ["extension_1.json", "extension_x.json", "1.json.tmp", "notes.json", "-1.json"]) place(name, EXTENSION);
    const taken = await makeFolder().take("extension", 1000);
    expect(taken.ok && taken.value.events).toMatchObject([{ kind: "extension", name: "n" }]);
    expect(readdirSync(folder).sort()).toEqual(["-1.json", "1.json.tmp", "extension_x.json", "notes.json"]);
  });

  test.each([
    ["no JSON", (path: string) => writeFileSync(path, "{"), "found no JSON"],
    ["too long", (path: string) => writeFileSync(path, " ".repeat(1_048_577)), "found 1048577 bytes"],
    ["a link", (path: string) => symlinkSync("/etc/passwd", path), "ELOOP"],
    ["a pipe", (path: string) => void Bun.spawnSync(["mkfifo", path]), "found something else"],
    ["a second name", (path: string) => [writeFileSync(`${path}.x`, EXTENSION), linkSync(`${path}.x`, path)], "found 2 links"],
    ["writable by others", (path: string) => [writeFileSync(path, EXTENSION), chmodSync(path, 0o666)], "mode is 0666"],
  ] satisfies [string, (path: string) => unknown, string][])(
    "T-94: a file that is %s is removed and told, and the others are read",
    async (_what, spoil, reason) => {
      place("extension_2.json", EXTENSION);
      spoil(join(folder, "extension_1.json"));
      const taken = await makeFolder().take("extension", 1000);
      if (!taken.ok) throw new Error(taken.error);
      expect(taken.value.refused).toEqual([{ name: "extension_1.json", reason: expect.stringContaining(reason) }]);
      expect(taken.value.events.length).toBe(1);
      expect([existsSync(join(folder, "extension_1.json")), existsSync("/etc/passwd")]).toEqual([false, true]);
    },
  );

  test("T-94: a folder in the place of a file is told and does not stop the others", async () => {
    place("extension_2.json", EXTENSION);
    mkdirSync(join(folder, "extension_1.json"));
    const taken = await makeFolder().take("extension", 1000);
    expect(taken.ok && [taken.value.events.length, taken.value.refused[0]?.reason]).toEqual([1, "it cannot be removed"]);
  });

  test("T-94: a folder that others may write to, or that is a link, is not used at all", async () => {
    const path = place("extension_1.json", EXTENSION);
    chmodSync(folder, 0o777);
    const events = makeFolder();
    for (const done of [await events.take("extension", 10), await events.keep([genericEvent("x")])]) {
      expect(done.ok ? "" : done.error).toContain("mode is 0777");
    }
    expect(existsSync(path)).toBe(true);
    symlinkSync(folder, join(folder, "..", "link"));
    const linked = await makeEventFolder(join(folder, "..", "link"), OWNER, 30, () => 1).take("extension", 10);
    expect(linked.ok ? "" : linked.error).toMatch(/ELOOP|ENOTDIR/);
  });
});
