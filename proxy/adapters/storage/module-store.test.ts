import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
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
import { seededRandom } from "../../../test/support/random.ts";
import { type Death, sampleModule } from "../../../test/support/store-in-child.ts";
import { BUSY_MACHINE_MS } from "../../../test/support/timeouts.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import { referencedObjects } from "../../core/modules/module-index.ts";
import { err, ok } from "../../core/result.ts";
import { writeAtomically } from "./atomic-write.ts";
import { takeFileLock } from "./file-lock.ts";
import { changeModules, hashOf, readModuleIndex, readModuleObject, type StoreFiles } from "./module-store.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SELF = process.geteuid?.() ?? 0;
const CHILD = join(import.meta.dir, "../../../test/support/store-in-child.ts");
const MAX_BYTES = 1024 * 1024;

let top: string;
let folder: string;

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "module-store-"));
  folder = join(top, "modules");
});

afterEach(() => {
  rmSync(top, { recursive: true, force: true });
});

function put(name: string, mark = "one", files?: StoreFiles) {
  const { entry, objects } = sampleModule(name, mark);
  return changeModules(
    folder,
    SELF,
    (entries) => ok({ entries: [...entries.filter((each) => each.name !== name), entry], objects }),
    files,
  );
}

function entries(): readonly ModuleEntry[] {
  const read = readModuleIndex(folder, SELF);
  if (!read.ok) throw new Error(read.error.message);
  return read.value;
}

function names(): readonly string[] {
  return entries().map(({ name }) => name);
}

function trouble(): string {
  const read = readModuleIndex(folder, SELF);
  return read.ok ? `read ${read.value.length}` : read.error.message;
}

/** Everything the index names can be read, whole. */
function expectWhole(): void {
  for (const sha256 of referencedObjects(entries())) expect(readModuleObject(folder, SELF, sha256, MAX_BYTES).ok).toBe(true);
}

async function runChild(name: string, mark: string, dieAt: number, death: Death): Promise<string> {
  const child = Bun.spawn([process.execPath, CHILD, folder, name, mark, String(dieAt), death], { stdout: "pipe", stderr: "inherit" });
  const out = await new Response(child.stdout).text();
  await child.exited;
  return child.signalCode === "SIGKILL" ? "killed" : out;
}

describe("module store", () => {
  test("a folder that does not exist holds no modules, and reading does not make it", () => {
    expect(names()).toEqual([]);
    expect(existsSync(folder)).toBe(false);
  });

  test("keeps modules in order with all their contents, for the owner alone", () => {
    for (const name of ["b", "a", "c"]) expect(put(name).ok).toBe(true);
    expect(names()).toEqual(["b", "a", "c"]);
    expectWhole();
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, "objects")).mode & 0o777).toBe(0o700);
    for (const file of ["index.json", ...readdirSync(join(folder, "objects")).map((name) => join("objects", name))])
      expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
  });

  test("contents that no module names any more go, shared ones stay", () => {
    put("a");
    put("b");
    const shared = entries()[0]?.settingsSha256 ?? "";
    changeModules(folder, SELF, (now) => ok({ entries: now.map((each) => ({ ...each, settingsSha256: shared })), objects: [] }));
    expect(readdirSync(join(folder, "objects")).length).toBe(5);
    changeModules(folder, SELF, (now) => ok({ entries: now.filter(({ name }) => name === "b"), objects: [] }));
    expect(readdirSync(join(folder, "objects")).sort()).toEqual([...referencedObjects(entries())].sort());
    expectWhole();
  });

  test("a refused change leaves the folder as it was", () => {
    put("a");
    const before = readFileSync(join(folder, "index.json"), "utf8");
    const objects = readdirSync(join(folder, "objects"));
    const refused = changeModules(folder, SELF, () => err("no reason"));
    expect(refused).toEqual({ ok: false, error: { kind: "refused", message: "no reason" } });
    expect(readFileSync(join(folder, "index.json"), "utf8")).toBe(before);
    expect(readdirSync(join(folder, "objects"))).toEqual(objects);
  });

  test("an entry whose contents are not there is not committed", () => {
    const { entry, objects } = sampleModule("a", "one");
    const changed = changeModules(folder, SELF, () => ok({ entries: [entry], objects: objects.slice(1) }));
    expect(changed.ok ? "changed" : changed.error.message).toContain(`the content ${entry.componentSha256} is missing`);
    expect(names()).toEqual([]);
    expect(readdirSync(join(folder, "objects"))).toEqual([]);
  });

  test("a name that no list may hold is not committed", () => {
    const { entry, objects } = sampleModule("a", "one");
    expect(changeModules(folder, SELF, () => ok({ entries: [{ ...entry, name: "../a" }], objects })).ok).toBe(false);
    expect(readdirSync(join(folder, "objects"))).toEqual([]);
  });
});

describe("module store after trouble", () => {
  test("T-122: a disk that fails at any step leaves the old modules or the new ones", () => {
    put("kept");
    for (let failAt = 1; ; failAt++) {
      let step = 0;
      const failing: StoreFiles = {
        makeFolder: (path) => mkdirSync(path, { recursive: true, mode: 0o700 }),
        write: (path, bytes) => {
          if (++step === failAt) return err({ message: "ENOSPC" });
          return writeAtomically(path, bytes, 0o600, true);
        },
        remove: (path) => {
          if (++step === failAt) throw new Error("EIO");
          rmSync(path, { force: true });
        },
      };
      const changed = put("kept", `try ${failAt}`, failing);
      expectWhole();
      expect(names()).toEqual(["kept"]);
      const now = entries()[0]?.componentSha256;
      expect(changed.ok).toBe(now === sampleModule("kept", `try ${failAt}`).entry.componentSha256);
      if (step < failAt) break;
    }
    expect(readdirSync(join(folder, "objects")).sort()).toEqual([...referencedObjects(entries())].sort());
  });

  test("T-122: the folder's entry that cannot be synced after the rename does not take the new contents away", () => {
    put("a");
    const lying: StoreFiles = {
      makeFolder: () => undefined,
      write: (path, bytes) => {
        const written = writeAtomically(path, bytes, 0o600, true);
        return path.endsWith("index.json") ? err({ message: "EIO after the rename" }) : written;
      },
      remove: (path) => rmSync(path, { force: true }),
    };
    expect(put("b", "one", lying).ok).toBe(true);
    expect(names()).toEqual(["a", "b"]);
    expectWhole();
  });

  test("T-122: a process that dies at any step leaves the old modules or the new ones, and the next change cleans up", async () => {
    const random = seededRandom(77);
    let lastStep = 0;
    for (let dieAt = 1; lastStep === 0; dieAt++) {
      const death = random.pick<Death>(["before", "torn", "after"]);
      // Every second time the very first change dies, with no folder there yet.
      const fresh = random.oneIn(2);
      if (fresh) rmSync(folder, { recursive: true, force: true });
      const before = fresh ? [] : entries();
      const end = await runChild("dying", `round ${dieAt}`, dieAt, death);
      if (end !== "killed") {
        expect(end).toBe("changed");
        lastStep = dieAt;
      }
      const next = sampleModule("dying", `round ${dieAt}`).entry;
      const after = [...before.filter(({ name }) => name !== "dying"), next];
      expect([JSON.stringify(before), JSON.stringify(after)]).toContain(JSON.stringify(entries()));
      expectWhole();
      expect(put("kept").ok).toBe(true);
      expect(readdirSync(join(folder, "objects")).sort()).toEqual([...referencedObjects(entries())].sort());
      expect(readdirSync(folder).sort()).toEqual([".lock", "index.json", "objects"]);
    }
    // Folders, three contents and the index at least.
    expect(lastStep).toBeGreaterThan(5);
  }, 60_000);

  test("T-123: many processes that change at once lose nothing", async () => {
    const all = Array.from({ length: 8 }, (_, i) => `m${i}`);
    const ends = await Promise.all(all.map((name) => runChild(name, "one", 0, "before")));
    expect(ends).toEqual(all.map(() => "changed"));
    expect([...names()].sort()).toEqual(all);
    expectWhole();
  }, 60_000);

  test("T-123: a lock is one process's, and free when that process ended in any way", async () => {
    expect(put("a").ok).toBe(true);
    const path = join(folder, ".lock");
    const lock = takeFileLock(path, 0);
    if (!lock.ok || lock.value === undefined) throw new Error("no lock");
    expect(takeFileLock(path, 30)).toEqual({ ok: true, value: undefined });
    lock.value[Symbol.dispose]();
    expect(await runChild("b", "one", 2, "before")).toBe("killed");
    const again = takeFileLock(path, 0);
    expect(again.ok && again.value !== undefined).toBe(true);
    if (again.ok) again.value?.[Symbol.dispose]();
  });
});

describe("module store and strangers", () => {
  beforeEach(() => {
    put("a");
    put("b");
  });

  test.each([0o720, 0o702, 0o777])("T-121: refuses a folder that others may write to (%o)", (mode) => {
    chmodSync(folder, mode);
    expect(trouble()).toContain("want one that only the owner may write to");
    expect(put("c").ok).toBe(false);
    chmodSync(folder, 0o700);
    chmodSync(join(folder, "objects"), mode);
    expect(put("c").ok).toBe(false);
    expect(readModuleObject(folder, SELF, entries()[0]?.componentSha256 ?? "", MAX_BYTES).ok).toBe(false);
  });

  test("T-121: refuses a folder in one that others may write to", () => {
    chmodSync(top, 0o777);
    expect(trouble()).toContain(`in "${top}" the folder's mode is 0777`);
    chmodSync(top, 0o700);
    expect(trouble()).toBe("read 2");
  });

  test("T-121: closes a folder that others may read before it writes", () => {
    chmodSync(folder, 0o755);
    expect(put("c").ok).toBe(true);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  test("T-121: refuses what belongs to somebody else", () => {
    const read = readModuleIndex(folder, SELF + 1);
    expect(read.ok ? "" : read.error.message).toContain(`owner is uid ${SELF}`);
    const changed = changeModules(folder, SELF + 1, (now) => ok({ entries: now, objects: [] }));
    expect(changed.ok).toBe(false);
  });

  test("T-121: refuses links in place of the folder, the index, the contents", () => {
    renameSync(folder, `${folder}-moved`);
    symlinkSync(`${folder}-moved`, folder);
    expect(trouble()).toContain("found a link");
    expect(put("c").ok).toBe(false);
    rmSync(folder);
    renameSync(`${folder}-moved`, folder);

    const index = join(folder, "index.json");
    renameSync(index, join(top, "elsewhere"));
    symlinkSync(join(top, "elsewhere"), index);
    expect(trouble()).toContain("found a link, want a regular file");
    rmSync(index);
    linkSync(join(top, "elsewhere"), index);
    expect(trouble()).toContain("found 2 links to the file, want 1");
    rmSync(join(top, "elsewhere"));

    const sha256 = entries()[0]?.componentSha256 ?? "";
    const object = join(folder, "objects", sha256);
    renameSync(object, join(top, "content"));
    symlinkSync(join(top, "content"), object);
    const read = readModuleObject(folder, SELF, sha256, MAX_BYTES);
    expect(read.ok ? "" : read.error.message).toContain("found a link");
  });

  test("T-121: refuses content that is not what its hash says, however little differs", () => {
    const sha256 = entries()[0]?.preparedSha256 ?? "";
    const path = join(folder, "objects", sha256);
    const bytes = readFileSync(path);
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const read = readModuleObject(folder, SELF, sha256, MAX_BYTES);
    expect(read.ok ? "" : read.error.message).toContain(`its content has the hash ${hashOf(bytes)}`);
    // Written again, it is whole again.
    expect(put("a").ok).toBe(true);
    expectWhole();
  });

  test.each(["", "..", "../index.json", "A".repeat(64), "a".repeat(63)])("T-121: never turns the hash %p into a path", (sha256) => {
    expect(readModuleObject(folder, SELF, sha256, MAX_BYTES).ok).toBe(false);
  });

  test("T-121: an index that was taken away is not an empty one", () => {
    rmSync(join(folder, "index.json"));
    expect(trouble()).toContain("index.json is missing");
    expect(put("c").ok).toBe(false);
    expect(readdirSync(join(folder, "objects")).length).toBe(6);
  });

  test("T-121: a broken index is not changed, and nothing is cleaned up after it", () => {
    writeFileSync(join(folder, "index.json"), "{}");
    expect(put("c").ok).toBe(false);
    expect(readFileSync(join(folder, "index.json"), "utf8")).toBe("{}");
    expect(readdirSync(join(folder, "objects")).length).toBe(6);
  });

  test("refuses content that is longer than wanted", () => {
    const read = readModuleObject(folder, SELF, entries()[0]?.componentSha256 ?? "", 10);
    expect(read.ok ? "" : read.error.message).toContain("want at most 10");
  });
});
