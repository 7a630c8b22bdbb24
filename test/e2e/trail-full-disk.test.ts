// The decision trail on a disk that fills up in the middle of a write: nothing is written twice or half, and the loss is in the chain.

import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireSandbox } from "../support/sandbox.ts";
import { decisionOf, openWriter, readWhole } from "../support/trail.ts";

const DISK_KIB = 512;
let disk: string | undefined;

afterEach(() => {
  if (disk === undefined) return;
  Bun.spawnSync(["umount", disk]);
  rmSync(disk, { recursive: true, force: true });
  disk = undefined;
});

function mountSmallDisk(): string {
  requireSandbox();
  const folder = mkdtempSync(join(tmpdir(), "small-disk-"));
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${DISK_KIB}k,mode=0700`, "tmpfs", folder]);
  if (mounted.exitCode !== 0) throw new Error(`cannot mount a small disk: ${mounted.stderr.toString()}`);
  disk = folder;
  return folder;
}

describe("decision trail", () => {
  test("T-143: a disk that fills up midway leaves a whole trail, and one that has room again gets the rest and the loss", async () => {
    const folder = mountSmallDisk();
    const filler = join(folder, "filler");
    const audit = join(folder, "audit");
    const { writer, told } = openWriter(audit, { maxQueued: 600 });
    writer.start();
    for (let n = 0; n < 100; n++) writer.append(decisionOf({ requestId: `early-${n}` }));
    await writer.flush();
    expect(writer.state()).toMatchObject({ records: 100, failing: undefined });
    // Room for a part of the next batch, so that it is written by half.
    writeFileSync(
      filler,
      Buffer.alloc((DISK_KIB - 80) * 1024 - Math.ceil(statSync(join(audit, "segment-0000000001.trail")).size / 4096) * 4096),
    );
    for (let n = 0; n < 1_000; n++) writer.append(decisionOf({ requestId: `late-${n}` }));
    await writer.flush();
    expect(told.failing).toEqual([expect.stringContaining("ENOSPC")]);
    expect(writer.state()).toMatchObject({ records: 100, lost: 400 });
    expect(readWhole(audit).damages).toEqual([]);
    rmSync(filler);
    await writer.flush();
    writer.append(decisionOf({ requestId: "after" }));
    await writer.stop();
    expect([told.restored.length > 0, writer.state().failing]).toEqual([true, undefined]);
    const { records, damages } = readWhole(audit);
    expect(damages).toEqual([]);
    const ids = records.flatMap((record) => (record.kind === "decision" ? [record.requestId] : []));
    const early = Array.from({ length: 100 }, (_none, n) => `early-${n}`);
    expect(ids).toEqual([...early, ...Array.from({ length: 600 }, (_none, n) => `late-${n}`), "after"]);
    expect(records.filter(({ kind }) => kind === "gap")).toMatchObject([{ lost: 400 }]);
  });
});
