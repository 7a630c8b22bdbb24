import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import vectors from "../../../test/vectors/audit-record.json";
import { AUDIT_RECORD_BYTES, decodeAuditRecord } from "./audit-record.ts";

function viewOf(hex: string): DataView {
  return new DataView(Uint8Array.from(Buffer.from(hex, "hex")).buffer);
}

/** The record in the vector file's terms: 64-bit numbers as text, unknown as null. */
function plain(record: unknown): unknown {
  return JSON.parse(JSON.stringify(record, (_, value) => (typeof value === "bigint" ? String(value) : value === undefined ? null : value)));
}

describe("decodeAuditRecord", () => {
  test.each(vectors.cases)("decodes: $comment", ({ bytes, decoded }) => {
    expect(plain(decodeAuditRecord(viewOf(bytes)))).toEqual(decoded);
  });

  test("finds the record inside a larger buffer", () => {
    const [first] = vectors.cases;
    const padded = Uint8Array.from(Buffer.from(`ffffff${first?.bytes}ff`, "hex"));
    expect(plain(decodeAuditRecord(new DataView(padded.buffer, 3, AUDIT_RECORD_BYTES)))).toEqual(first?.decoded);
  });

  test("keeps no reference to the bytes", () => {
    const [first, second] = vectors.cases;
    const bytes = Uint8Array.from(Buffer.from(first?.bytes ?? "", "hex"));
    const record = decodeAuditRecord(new DataView(bytes.buffer));
    bytes.set(Buffer.from(second?.bytes ?? "", "hex"));
    expect(plain(record)).toEqual(first?.decoded);
  });

  test.each([0, 1, AUDIT_RECORD_BYTES - 1, AUDIT_RECORD_BYTES + 1])("takes %i bytes for a bug of ours", (length) => {
    expect(() => decodeAuditRecord(new DataView(new ArrayBuffer(length)))).toThrow("internal error");
  });

  test("no bytes make it throw", () => {
    let seed = 0x2f6e2b1;
    for (let round = 0; round < 500; round += 1) {
      const bytes = new Uint8Array(AUDIT_RECORD_BYTES).map(() => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 24);
      const record = decodeAuditRecord(new DataView(bytes.buffer));
      expect(record.destinationPort).toBe(((bytes[80] ?? 0) << 8) | (bytes[81] ?? 0));
    }
  });
});

describe("struct audit_record in C", () => {
  const folder = mkdtempSync(join(tmpdir(), "audit-record-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  test("has the bytes of the vector", () => {
    const compiler = Bun.which("clang") ?? Bun.which("gcc") ?? Bun.which("cc");
    if (compiler === null) throw new Error("cannot compile the vector: no C compiler found; install the package clang");
    const source = join(import.meta.dir, "../../../test/vectors/audit-record.c");
    const program = join(folder, "audit-record");
    const built = Bun.spawnSync([compiler, "-Wall", "-Wextra", "-Werror", "-o", program, source]);
    expect(built.stderr.toString()).toBe("");
    expect(Bun.spawnSync([program]).stdout.toString().trim()).toBe(vectors.cases[0]?.bytes ?? "");
  });
});
