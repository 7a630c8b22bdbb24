// TypeScript types of the contract as QuickJS, in a component made by jco, sees it: what is absent is null, and numbers of 64 bits are
// plain numbers, rounded above 2^53.

import { exportedInterface, Types } from "./abi-layout.ts";
import type { WitPackage, WitType } from "./parse-wit.ts";
import { blockComment, GENERATED, toCamel, toPascal } from "./spelling.ts";

export function generateTs(wit: WitPackage): string {
  const types = new Types(wit);
  const exported = exportedInterface(wit);
  const lines = [
    `// ${GENERATED}`,
    "// What is absent is null. Numbers of 64 bits are rounded above 2^53.",
    `// ${wit.name}@${wit.version}. Export a constant named "${toCamel(exported.name)}" of type ${toPascal(exported.name)}.`,
  ];
  for (const definition of types.all) {
    lines.push("", ...blockComment(definition.docs));
    if (definition.kind === "enum") {
      const cases = definition.cases.flatMap((each) => [...blockComment(each.docs, "  "), `  | "${each.name}"`]);
      lines.push(`export type ${toPascal(definition.name)} =`, ...cases.slice(0, -1), `${cases.at(-1)};`);
      continue;
    }
    lines.push(`export interface ${toPascal(definition.name)} {`);
    for (const field of definition.fields) {
      lines.push(...blockComment(field.docs, "  "), `  readonly ${toCamel(field.name)}: ${typeName(field.type)};`);
    }
    lines.push("}");
  }
  lines.push("", ...blockComment(exported.docs), `export interface ${toPascal(exported.name)} {`);
  for (const { name, docs, parameters, result } of exported.functions) {
    const taken = parameters.map((each) => `${toCamel(each.name)}: ${typeName(each.type)}`).join(", ");
    const note = result.kind === "result" ? `${docs}\nAn error is thrown: \`throw "what is wrong"\`, a string and not an Error.` : docs;
    lines.push(...blockComment(note, "  "), `  ${toCamel(name)}(${taken}): ${result.kind === "result" ? "void" : typeName(result)};`);
  }
  lines.push("}");
  return `${lines.join("\n")}\n`;
}

function typeName(type: WitType): string {
  switch (type.kind) {
    case "primitive":
      if (type.name === "string") return "string";
      if (type.name === "bool") return "boolean";
      return "number";
    case "list":
      if (type.element.kind === "primitive" && type.element.name === "u8") return "Uint8Array";
      return `readonly ${typeName(type.element)}[]`;
    case "option":
      return `${typeName(type.element)} | null`;
    case "tuple":
      return `[${type.elements.map(typeName).join(", ")}]`;
    case "named":
      return toPascal(type.name);
    case "result":
      throw new Error("cannot make TypeScript types: found a result within a value");
  }
}
