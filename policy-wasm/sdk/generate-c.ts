// C bindings: structs whose layout is the canonical ABI's, so that arguments are read where the host put them and an answer is
// returned by address. `policy.h` is what authors include; `policy.c` holds the exports and the memory of a call.

import { exportedInterface, exportPrefix, Types } from "./abi-layout.ts";
import type { WitFunction, WitPackage, WitRecord, WitType } from "./parse-wit.ts";
import { blockComment, GENERATED, toConstant, toSnake } from "./spelling.ts";

export interface CBindings {
  readonly header: string;
  readonly source: string;
}

/**
 * @param helpers - declarations for authors, put behind the string type
 * @param arena - their definitions and the allocator
 */
export function generateC(wit: WitPackage, helpers: string, arena: string): CBindings {
  return { header: generateHeader(wit, helpers), source: generateSource(wit, arena) };
}

function typeName(type: WitType, types: Types): string {
  switch (type.kind) {
    case "primitive":
      if (type.name === "string") return "policy_text";
      return type.name === "bool" ? "bool" : `uint${type.name.slice(1)}_t`;
    case "list":
      return isBytes(type) ? "policy_bytes" : `${typeName(type.element, types)}_list`;
    case "option":
      return `${typeName(type.element, types)}_option`;
    case "tuple":
      return `policy_${type.elements.map((element) => typeName(element, types).replace("policy_", "")).join("_")}_pair`;
    case "named":
      return `policy_${toSnake(type.name)}`;
    case "result":
      throw new Error("cannot make C bindings: found a result within a value");
  }
}

function isBytes(type: WitType): boolean {
  return type.kind === "list" && type.element.kind === "primitive" && type.element.name === "u8";
}

function generateHeader(wit: WitPackage, helpers: string): string {
  const types = new Types(wit);
  const { functions } = exportedInterface(wit);
  const lines = [
    `// ${GENERATED}`,
    `// ${wit.name}@${wit.version}. Implement the functions at the end. Arguments, and what policy_allocate gives, are valid until the`,
    "// call is over; what is allocated within policy_configure, and its settings, are valid for good.",
    "#ifndef AZURE_PROXY_AGENT_POLICY_H",
    "#define AZURE_PROXY_AGENT_POLICY_H",
    "",
    "#include <stdbool.h>",
    "#include <stddef.h>",
    "#include <stdint.h>",
    "",
    helpers.trimEnd(),
  ];
  const written = new Set<string>(["policy_text", "policy_bytes"]);
  const write = (type: WitType): void => {
    if (type.kind === "result" || type.kind === "primitive") return;
    const name = typeName(type, types);
    if (written.has(name)) return;
    written.add(name);
    if (type.kind === "list" || type.kind === "option") {
      write(type.element);
      const element = typeName(type.element, types);
      const body = type.kind === "list" ? `const ${element} *data; size_t length;` : `bool is_some; ${element} value;`;
      lines.push("", `typedef struct { ${body} } ${name};`);
    } else if (type.kind === "tuple") {
      type.elements.forEach(write);
      const names = ["first", "second", "third", "fourth"];
      lines.push(
        "",
        `typedef struct { ${type.elements.map((element, i) => `${typeName(element, types)} ${names[i]};`).join(" ")} } ${name};`,
      );
    } else if (type.kind === "named") {
      const definition = types.definition(type.name);
      if (definition.kind === "record") {
        for (const field of definition.fields) write(field.type);
        lines.push("", ...generateStruct(definition, name, types));
        return;
      }
      lines.push("", ...blockComment(definition.docs), `typedef uint8_t ${name};`, "enum {");
      definition.cases.forEach((each, i) => {
        lines.push(...blockComment(each.docs, "\t"), `\t${toConstant(name)}_${toConstant(each.name)} = ${i},`);
      });
      lines.push("};");
    }
  };
  for (const { parameters, result } of functions) for (const type of [...parameters.map((each) => each.type), result]) write(type);
  for (const called of functions) lines.push("", ...blockComment(called.docs), `${declare(called, types)};`);
  lines.push("", "#endif");
  return `${lines.join("\n")}\n`;
}

function generateStruct(record: WitRecord, name: string, types: Types): readonly string[] {
  const offsets = types.fieldOffsets(record);
  const { bytes } = types.layout({ kind: "named", name: record.name });
  return [
    ...blockComment(record.docs),
    "typedef struct {",
    ...record.fields.flatMap((field) => [...blockComment(field.docs, "\t"), `\t${typeName(field.type, types)} ${toSnake(field.name)};`]),
    `} ${name};`,
    ...record.fields.map(
      (field, i) => `_Static_assert(offsetof(${name}, ${toSnake(field.name)}) == ${offsets[i]}, "layout of ${record.name}");`,
    ),
    `_Static_assert(sizeof(${name}) == ${bytes}, "layout of ${record.name}");`,
  ];
}

/** `result<_, string>` becomes: true for success, else the error text. */
function isSettling(type: WitType): boolean {
  return type.kind === "result" && type.ok === undefined && type.error?.kind === "primitive" && type.error.name === "string";
}

function declare(called: WitFunction, types: Types): string {
  const parameters = called.parameters.map(({ name, type }) => {
    if (type.kind === "option") return `const ${typeName(type.element, types)} *${toSnake(name)}_or_null`;
    return isBytes(type) ? `policy_bytes ${toSnake(name)}` : `const ${typeName(type, types)} *${toSnake(name)}`;
  });
  if (isSettling(called.result)) return `bool policy_${toSnake(called.name)}(${[...parameters, "policy_text *error"].join(", ")})`;
  return `${typeName(called.result, types)} policy_${toSnake(called.name)}(${parameters.join(", ")})`;
}

function generateSource(wit: WitPackage, arena: string): string {
  const types = new Types(wit);
  const prefix = exportPrefix(wit);
  const lines = [`// ${GENERATED}`, "// Memory of a call, and the exports in the canonical ABI. Nothing here is for authors to call.", ""];
  lines.push('#include "policy.h"', "", arena.trimEnd());
  for (const called of exportedInterface(wit).functions) lines.push("", ...generateExport(called, prefix, types));
  return `${lines.join("\n")}\n`;
}

function generateExport(called: WitFunction, prefix: string, types: Types): readonly string[] {
  const name = toSnake(called.name);
  const settles = isSettling(called.result);
  const answer = settles ? "struct { bool failed; policy_text error; }" : typeName(called.result, types);
  const { bytes } = types.layout(called.result);
  const post = called.name === "configure" ? "keep" : "forget";
  const [only] = called.parameters;
  if (!types.isSpilled(called) && (called.parameters.length !== 1 || only === undefined || !isBytes(only.type)))
    throw new Error(`cannot make C bindings: "${called.name}" takes neither one list of bytes nor a spilled record`);
  const struct = called.parameters.map(({ name: field, type }) => `${typeName(type, types)} ${toSnake(field)};`).join(" ");
  const passed = called.parameters.map(({ name: field, type }) =>
    type.kind === "option" ? `args->${toSnake(field)}.is_some ? &args->${toSnake(field)}.value : NULL` : `&args->${toSnake(field)}`,
  );
  const body = settles
    ? [
        `\t${name}_answer.error = (policy_text){ "", 0 };`,
        `\t${name}_answer.failed = !policy_${name}((policy_bytes){ data, length }, &${name}_answer.error);`,
      ]
    : [`\t${name}_answer = policy_${name}(${passed.join(", ")});`];
  return [
    `static ${answer} ${name}_answer;`,
    `_Static_assert(sizeof(${name}_answer) == ${bytes}, "layout of the answer");`,
    ...(types.isSpilled(called) ? [`struct ${name}_arguments { ${struct} };`] : []),
    `__attribute__((export_name("${prefix}#${called.name}")))`,
    `void *policy_export_${name}(${types.isSpilled(called) ? `const struct ${name}_arguments *args` : "const uint8_t *data, size_t length"}) {`,
    ...body,
    `\treturn &${name}_answer;`,
    "}",
    `__attribute__((export_name("cabi_post_${prefix}#${called.name}")))`,
    `void policy_post_${name}(const void *answer) {`,
    "\t// Each compares its own address: equal functions might be folded into one export.",
    `\tif (answer != &${name}_answer) __builtin_trap();`,
    `\tpolicy_${post}();`,
    "}",
  ];
}
