import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../../test/support/random.ts";
import { checkModuleSignature } from "../../core/modules/module-signature.ts";
import { readTrustedKeys } from "./trusted-keys.ts";

const SELF = process.geteuid?.() ?? 0;
const MINISIGN = Bun.which("minisign");

let top: string;
let folder: string;

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "trusted-keys-"));
  folder = join(top, "trusted-keys");
  mkdirSync(folder, { mode: 0o755 });
});

afterEach(() => {
  rmSync(top, { recursive: true, force: true });
});

function trust(name: string, bytes = Buffer.from(`Ed${name.padEnd(8, "x").slice(0, 8)}${"k".repeat(32)}`)): string {
  const path = join(folder, `${name}.pub`);
  writeFileSync(path, `untrusted comment: ${name}\n${bytes.toString("base64")}\n`, { mode: 0o644 });
  return path;
}

function summary(owner = SELF) {
  const { keys, troubles } = readTrustedKeys(folder, owner);
  return { ids: keys.map(({ id }) => id), troubles };
}

describe("readTrustedKeys", () => {
  test("a folder that does not exist holds no keys and is no trouble", () => {
    rmSync(folder, { recursive: true });
    expect(summary()).toEqual({ ids: [], troubles: [] });
  });

  test("takes every .pub file, in order of their names, and nothing else", () => {
    trust("b");
    trust("a");
    writeFileSync(join(folder, "README"), "not a key");
    expect(summary()).toEqual({ ids: ["7878787878787861", "7878787878787862"], troubles: [] });
  });

  test("T-124: a doubtful file is no key and is named; the others still count", () => {
    trust("good");
    chmodSync(trust("writable"), 0o666);
    symlinkSync(trust("good"), join(folder, "link.pub"));
    mkdirSync(join(folder, "folder.pub"));
    writeFileSync(join(folder, "broken.pub"), "no key\n", { mode: 0o644 });
    writeFileSync(join(folder, "long.pub"), "x".repeat(5000), { mode: 0o644 });
    const { ids, troubles } = summary();
    expect(ids).toEqual(["78787878646F6F67"]);
    expect(troubles.map((line) => /trusted-keys\/([a-z]+)\.pub/.exec(line)?.[1])).toEqual(["broken", "folder", "link", "long", "writable"]);
  });

  test("T-124: a folder that others may write to, or that is another's, holds no keys", () => {
    trust("good");
    chmodSync(folder, 0o777);
    expect(summary()).toEqual({ ids: [], troubles: [expect.stringContaining("mode is 0777")] });
    chmodSync(folder, 0o755);
    expect(summary(SELF + 1)).toEqual({ ids: [], troubles: [expect.stringContaining(`owner is uid ${SELF}`)] });
    symlinkSync(folder, `${folder}-link`);
    expect(readTrustedKeys(`${folder}-link`, SELF).keys).toEqual([]);
  });
});

describe.skipIf(MINISIGN === null)("signatures made by the minisign program", () => {
  function minisign(...argv: string[]): void {
    const run = Bun.spawnSync([MINISIGN ?? "", ...argv], { cwd: top, stdin: Buffer.from("\n\n") });
    if (run.exitCode !== 0) throw new Error(`minisign ${argv.join(" ")}: ${run.stderr.toString()}`);
  }

  test.each([
    ["prehashed", []],
    ["plain", ["-l"]],
  ])("T-120: %s signatures hold for the signed bytes and the trusted key only", (_, flags) => {
    minisign("-G", "-W", "-p", "trusted-keys/mine.pub", "-s", "mine.key");
    minisign("-G", "-W", "-p", "other.pub", "-s", "other.key");
    const { keys, troubles } = readTrustedKeys(folder, SELF);
    expect(troubles).toEqual([]);
    const random = seededRandom(4);
    for (const length of [0, 1, 127, 128, 129, 100_000]) {
      const content = Buffer.from(random.list(length, length, () => random.below(256)));
      writeFileSync(join(top, "m.wasm"), content);
      minisign("-S", "-s", "mine.key", "-m", "m.wasm", "-x", "mine.sig", "-t", `größe ${length}`, ...flags);
      minisign("-S", "-s", "other.key", "-m", "m.wasm", "-x", "other.sig", ...flags);
      const file = readFileSync(join(top, "mine.sig"));
      const good = checkModuleSignature(content, file, keys, true);
      expect(good.ok && good.value?.signature.trustedComment).toBe(`größe ${length}`);
      expect(checkModuleSignature(Buffer.concat([content, Buffer.of(0)]), file, keys, false).ok).toBe(false);
      expect(checkModuleSignature(content, readFileSync(join(top, "other.sig")), keys, false).ok).toBe(false);
    }
  });
});

describe("checkModuleSignature", () => {
  test("T-124: without a signature only where none is asked for; a broken one never", () => {
    expect(checkModuleSignature(Buffer.of(1), undefined, [], false)).toEqual({ ok: true, value: undefined });
    expect(checkModuleSignature(Buffer.of(1), undefined, [], true).ok).toBe(false);
    for (const file of ["", "x", "\0", "untrusted comment: \n\n\n\n"])
      expect(checkModuleSignature(Buffer.of(1), Buffer.from(file), [], false).ok).toBe(false);
  });
});
