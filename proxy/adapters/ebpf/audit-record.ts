// Decodes the bytes that the kernel programs write (ebpf/redirect.h). Pure: bytes in, values out. Scalars are in host byte
// order, which is little-endian on every processor we build for; addresses and ports marked "be" are in network order.

import type { AuditRecord } from "../../core/request/caller.ts";

export const AUDIT_RECORD_BYTES = 104;

const HAS_TASK_FIELDS = 1 << 0;
const HAS_EXECUTABLE = 1 << 1;
const MAPPED = 1 << 2;
const DIRECT = 1 << 3;

const COMM_OFFSET = 88;
const COMM_BYTES = 16;
const UTF8 = new TextDecoder();

/**
 * Decodes one record.
 * @param view - exactly {@link AUDIT_RECORD_BYTES} bytes as the kernel wrote them; the record keeps no reference to it
 * @see test/vectors/audit-record.json
 */
export function decodeAuditRecord(view: DataView): AuditRecord {
  if (view.byteLength !== AUDIT_RECORD_BYTES) {
    throw new Error(`internal error: audit record of ${view.byteLength} bytes, want ${AUDIT_RECORD_BYTES}`);
  }
  const flags = view.getUint32(72, true);
  const hasTaskFields = (flags & HAS_TASK_FIELDS) !== 0;
  return {
    networkNamespaceCookie: view.getBigUint64(0, true),
    socketCookie: view.getBigUint64(8, true),
    cgroupId: view.getBigUint64(16, true),
    startTimeNs: hasTaskFields ? view.getBigUint64(24, true) : undefined,
    executable:
      (flags & HAS_EXECUTABLE) === 0
        ? undefined
        : { inode: view.getBigUint64(32, true), device: view.getUint32(40, true), inodeGeneration: view.getUint32(44, true) },
    processId: view.getUint32(48, true),
    threadId: view.getUint32(52, true),
    realUid: view.getUint32(56, true),
    realGid: view.getUint32(60, true),
    effectiveUid: hasTaskFields ? view.getUint32(64, true) : undefined,
    effectiveGid: hasTaskFields ? view.getUint32(68, true) : undefined,
    // Network order, byte by byte as connect(2) received it.
    destinationAddress: `${view.getUint8(76)}.${view.getUint8(77)}.${view.getUint8(78)}.${view.getUint8(79)}`,
    destinationPort: view.getUint16(80, false),
    mapped: (flags & MAPPED) !== 0,
    comm: decodeComm(view),
  };
}

/** Reads from an undecoded record whether its connection went straight to the listener. */
export function isDirect(view: DataView): boolean {
  return (view.getUint32(72, true) & DIRECT) !== 0;
}

/** comm up to its NUL; the process chose these bytes, so they may be anything. */
function decodeComm(view: DataView): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + COMM_OFFSET, COMM_BYTES);
  const end = bytes.indexOf(0);
  return UTF8.decode(end < 0 ? bytes : bytes.subarray(0, end));
}
