// A core module of functions that only trap: a component's calls of stubs become calls of these.

import { ByteWriter } from "./byte-writer.ts";
import type { FunctionType } from "./core-types.ts";
import { PREAMBLES } from "./sections.ts";

/** Exports function `i` of type `types[i]` under the name `i`. */
export function writeWallModule(types: readonly FunctionType[]): Uint8Array {
  const writer = new ByteWriter();
  writer.raw(PREAMBLES.module);
  section(writer, 1, types, (content, { params, results }) => {
    content.byte(0x60);
    content.u32(params.length);
    content.bytes(...params);
    content.u32(results.length);
    content.bytes(...results);
  });
  section(writer, 3, types, (content, _, i) => content.u32(i));
  section(writer, 7, types, (content, _, i) => {
    content.text(String(i));
    content.byte(0x00);
    content.u32(i);
  });
  section(writer, 10, types, (content) => content.bytes(3, 0, 0x00, 0x0b)); // no locals, unreachable, end
  return writer.finish();
}

function section(
  writer: ByteWriter,
  id: number,
  types: readonly FunctionType[],
  write: (content: ByteWriter, type: FunctionType, index: number) => void,
): void {
  const content = new ByteWriter();
  content.u32(types.length);
  for (const [i, type] of types.entries()) write(content, type, i);
  writer.section(id, content);
}
