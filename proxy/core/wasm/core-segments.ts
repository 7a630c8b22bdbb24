// Element segments: the functions that tables start with.

import type { ByteReader } from "./byte-reader.ts";
import { readConstant } from "./constant.ts";
import { LIMITS } from "./core-limits.ts";
import { FUNCREF, I32 } from "./core-types.ts";
import type { ModuleDraft } from "./module-draft.ts";
import { hex, refuse } from "./refuse.ts";

const PASSIVE_OR_DECLARATIVE = 1;
const EXPLICIT = 2;
const EXPRESSIONS = 4;

export function readElementSegments(section: ByteReader, draft: ModuleDraft): void {
  draft.elementSegments = section.count("element segments", LIMITS.elementSegments);
  for (let i = 0; i < draft.elementSegments; i++) {
    const start = section.position;
    draft.elements += readSegment(section, draft);
    if (draft.elements > LIMITS.elements) refuse("limit", start, `a core module has more than ${LIMITS.elements} elements`);
  }
}

function readSegment(section: ByteReader, draft: ModuleDraft): number {
  const start = section.position;
  const flags = section.u32();
  if (flags > 7) refuse("malformed", start, `an element segment has flags ${hex(flags)}, want 0x00 to 0x07`);
  const active = (flags & PASSIVE_OR_DECLARATIVE) === 0;
  const explicit = (flags & EXPLICIT) !== 0;
  const expressions = (flags & EXPRESSIONS) !== 0;
  if (active) {
    const table = explicit ? section.u32() : 0;
    if (table >= draft.tables.length) refuse("malformed", start, `an element segment names table ${table}, which is not there`);
    readConstant(section, I32, draft);
  }
  if (explicit || !active) readKind(section, expressions);
  const count = section.count("elements", LIMITS.elements);
  for (let i = 0; i < count; i++) {
    if (expressions) {
      readConstant(section, FUNCREF, draft);
      continue;
    }
    const at = section.position;
    const index = section.u32();
    if (index >= draft.functions.length) refuse("malformed", at, `function ${index} is not there`);
    draft.declaredFunctions.add(index);
  }
  return count;
}

function readKind(section: ByteReader, expressions: boolean): void {
  const start = section.position;
  const kind = section.byte();
  const wanted = expressions ? FUNCREF : 0x00;
  if (kind !== wanted) refuse("unsupported", start, `elements are of kind ${hex(kind)}, want functions (${hex(wanted)})`);
}
