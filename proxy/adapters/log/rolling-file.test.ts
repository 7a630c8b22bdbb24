import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRollingFile, type RollingFile, type RollingFileOptions } from "./rolling-file.ts";

let folder: string;
let nowMs: number;
let troubles: (string | undefined)[];
let opened: RollingFile[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rolling-file-"));
  nowMs = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  troubles = [];
  opened = [];
});
afterEach(async () => {
  for (const file of opened) await file[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

function openFile(more: Partial<RollingFileOptions> = {}): RollingFile {
  const file = openRollingFile({
    folder,
    name: "ProxyAgent",
    owner: process.getuid?.() ?? 0,
    now: () => new Date(nowMs),
    renderLost: (count) => `lost ${count}`,
    onTrouble: (message) => troubles.push(message),
    ...more,
  });
  opened.push(file);
  return file;
}

async function write(file: RollingFile, ...lines: readonly string[]): Promise<void> {
  for (const line of lines) file.write(line);
  await file.flush();
}

const read = (name = "ProxyAgent.log") => readFileSync(join(folder, name), "utf8");
const modeOf = (name: string) => statSync(join(folder, name)).mode & 0o777;

/** What may stand where the file should be, and the word that tells it. */
const PLACES: readonly (readonly [what: string, place: (path: string) => unknown, reason: string])[] = [
  ["a link", (path: string) => symlinkSync(join(folder, "elsewhere"), path), "ELOOP"],
  ["a second name of another file", (path: string) => [writeFileSync(`${path}.x`, ""), linkSync(`${path}.x`, path)], "found 2 links"],
  ["a folder", (path: string) => mkdirSync(path), "EISDIR"],
  ["a pipe", (path: string) => void Bun.spawnSync(["mkfifo", path]), "ENXIO"],
  ["a folder that others may write to", () => chmodSync(folder, 0o777), "the folder's mode is 0777"],
];

describe("openRollingFile", () => {
  test("makes nothing before the first line, then folder and file for few eyes", async () => {
    folder = join(folder, "deep", "logs");
    const file = openFile();
    expect(existsSync(folder)).toBe(false);
    await write(file, "one", "two");
    expect([read(), modeOf("ProxyAgent.log"), modeOf(".")]).toEqual(["one\ntwo\n", 0o640, 0o750]);
    expect(troubles).toEqual([]);
  });

  test("appends to what is there and takes the eyes of others from it", async () => {
    writeFileSync(join(folder, "ProxyAgent.log"), "old\n", { mode: 0o644 });
    await write(openFile(), "new");
    expect([read(), modeOf("ProxyAgent.log")]).toEqual(["old\nnew\n", 0o640]);
  });

  test("rolls at its limit and keeps so many files, its own only", async () => {
    for (const name of ["ProxyAgent.Connection.log", "ProxyAgent.notes.log", "other.log"]) writeFileSync(join(folder, name), name);
    const file = openFile({ maxBytes: 100, maxFiles: 3 });
    for (let n = 0; n < 12; n++) {
      nowMs += 1_000;
      await write(file, `${n} `.padEnd(39, "x"));
    }
    const names = readdirSync(folder).sort();
    expect(names).toEqual([
      "ProxyAgent.2026-01-02T03.04.14.678-678000000.log",
      "ProxyAgent.2026-01-02T03.04.16.678-678000000.log",
      "ProxyAgent.Connection.log",
      "ProxyAgent.log",
      "ProxyAgent.notes.log",
      "other.log",
    ]);
    expect([read().startsWith("10 "), read(names[0]).startsWith("6 ")]).toEqual([true, true]);
    expect(names.filter((name) => statSync(join(folder, name)).size > 100)).toEqual([]);
  });

  test("a file that was renamed from outside: the next line after a reopen is in a new one", async () => {
    const file = openFile();
    await write(file, "one");
    renameSync(join(folder, "ProxyAgent.log"), join(folder, "ProxyAgent.log.1"));
    await write(file, "two");
    file.reopen();
    await write(file, "three");
    expect([read("ProxyAgent.log.1"), read()]).toEqual(["one\ntwo\n", "three\n"]);
  });

  test("a folder that was removed is made again, without being told", async () => {
    const file = openFile();
    await write(file, "one");
    rmSync(folder, { recursive: true });
    nowMs += 6_000;
    await write(file, "two");
    expect([read(), troubles]).toEqual(["two\n", []]);
  });

  test.each(PLACES)("T-91: %s in its place is refused, told once and tried again", async (_what, place, reason) => {
    const path = join(folder, "ProxyAgent.log");
    place(path);
    const file = openFile();
    await write(file, "one");
    await write(file, "two");
    expect([troubles.length, existsSync(join(folder, "elsewhere"))]).toEqual([1, false]);
    expect(troubles[0]).toStartWith(`cannot write log file "${path}": `);
    expect(troubles[0]).toContain(reason);
    chmodSync(folder, 0o700);
    rmSync(path, { recursive: true, force: true });
    await write(file, "too early");
    expect(existsSync(path)).toBe(false);
    nowMs += 10_000;
    await write(file, "four");
    expect([read(), troubles.at(-1)]).toEqual(["four\nlost 3\n", undefined]);
  });

  test("somebody else's folder is refused", async () => {
    await write(openFile({ owner: 4_001 }), "one");
    expect([readdirSync(folder), troubles.length]).toEqual([[], 1]);
  });

  test("a disk that is full costs lines and nothing else", async () => {
    // A limit on the size of files stands for the end of the disk: the write fails in the middle, with another errno.
    const program = `
      const { openRollingFile } = await import(${JSON.stringify(join(import.meta.dir, "rolling-file.ts"))});
      const troubles = [];
      const file = openRollingFile({ folder: ${JSON.stringify(folder)}, name: "ProxyAgent", owner: process.getuid(), now: () => new Date(),
        renderLost: (count) => "lost " + count, onTrouble: (message) => troubles.push(message) });
      for (let n = 0; n < 100; n++) file.write("x".repeat(1000));
      await file.flush();
      process.stdout.write(JSON.stringify(troubles));`;
    const script = `ulimit -f 8; trap "" XFSZ; exec "${process.execPath}" -e '${program}'`;
    const { stdout, exitCode } = Bun.spawnSync(["bash", "-c", script]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout.toString())).toEqual([expect.stringContaining("EFBIG")]);
    expect(statSync(join(folder, "ProxyAgent.log")).size).toBe(8 * 1024);
  });
});
