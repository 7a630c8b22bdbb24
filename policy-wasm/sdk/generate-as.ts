// AssemblyScript bindings. `abi.ts` holds plain offsets and numbers, which our own engine uses too; `policy.ts` holds views that read
// arguments where the host put them, without copying, and the classes that answers are made of; `exports.ts` is the module's entry.

import { exportedInterface, Types } from "./abi-layout.ts";
import type { WitEnum, WitFunction, WitPackage, WitRecord, WitType } from "./parse-wit.ts";
import { blockComment, GENERATED, toCamel, toConstant, toPascal } from "./spelling.ts";

export interface AsBindings {
  readonly abi: string;
  readonly policy: string;
  readonly exports: string;
}

export function generateAs(wit: WitPackage, textViews: string): AsBindings {
  return {
    abi: generateAbi(wit),
    policy: generatePolicy(wit, textViews),
    exports: generateExports(wit),
  };
}

function generateAbi(wit: WitPackage): string {
  const types = new Types(wit);
  const lines = [`// ${GENERATED}`, "// Byte offsets into records and arguments, sizes, and the numbers of cases.", ""];
  lines.push("/** A string or a list: pointer, then length. */", "export const STRING_BYTES: usize = 8;");
  for (const definition of types.all) {
    const name = toConstant(definition.name);
    lines.push("");
    if (definition.kind === "enum") {
      definition.cases.forEach((each, i) => {
        lines.push(`export const ${name}_${toConstant(each.name)}: u8 = ${i};`);
      });
      continue;
    }
    lines.push(`export const ${name}_BYTES: usize = ${types.layout({ kind: "named", name: definition.name }).bytes};`);
    types.fieldOffsets(definition).forEach((offset, i) => {
      lines.push(`export const ${name}_${toConstant(definition.fields[i]?.name ?? "")}: usize = ${offset};`);
    });
  }
  for (const called of exportedInterface(wit).functions) {
    lines.push("", `export const ${toConstant(called.name)}_RESULT_BYTES: usize = ${types.layout(called.result).bytes};`);
    if (!types.isSpilled(called)) continue;
    const offsets = types.offsets(called.parameters.map(({ type }) => type));
    called.parameters.forEach(({ name }, i) => {
      lines.push(`export const ${toConstant(called.name)}_${toConstant(name)}: usize = ${offsets[i]};`);
    });
  }
  return `${lines.join("\n")}\n`;
}

/** What reads a value of this type in place. */
function viewType(type: WitType, types: Types): string {
  switch (type.kind) {
    case "primitive":
      return type.name === "string" ? "Text" : type.name;
    case "option":
      return `${viewType(type.element, types)} | null`;
    case "list":
      return type.element.kind === "primitive" && type.element.name === "u8" ? "Bytes" : `${viewType(type.element, types)}List`;
    case "tuple":
      return `${type.elements.map((element) => viewType(element, types)).join("")}Tuple`;
    case "named":
      return types.definition(type.name).kind === "enum" ? toPascal(type.name) : `${toPascal(type.name)}View`;
    case "result":
      throw new Error("cannot make AssemblyScript bindings: found a result among arguments");
  }
}

function readAt(type: WitType, at: string, types: Types): string {
  const name = viewType(type, types);
  if (type.kind === "primitive" && type.name !== "string") return `load<${type.name}>(${at})`;
  if (type.kind === "named" && types.definition(type.name).kind === "enum") return `<${name}>load<u8>(${at})`;
  if (type.kind !== "option") return `changetype<${name}>(${at})`;
  if (type.element.kind === "primitive" && type.element.name !== "string")
    throw new Error("cannot make AssemblyScript bindings: found an option of a number among arguments");
  return `load<u8>(${at}) == 1 ? ${readAt(type.element, `${at} + ${types.payloadOffset(type)}`, types)} : null`;
}

function generatePolicy(wit: WitPackage, textViews: string): string {
  const types = new Types(wit);
  const called = exportedInterface(wit).functions;
  const lines = [`// ${GENERATED}`, ...fileNote(wit), "", textViews.trimEnd()];
  for (const definition of types.all) if (definition.kind === "enum") lines.push("", ...generateEnum(definition));
  const written = new Set<string>(["Text", "Bytes"]);
  const write = (type: WitType): void => {
    if (type.kind === "option") write(type.element);
    if (type.kind === "primitive" || type.kind === "option" || type.kind === "result") return;
    const name = viewType(type, types);
    if (written.has(name)) return;
    written.add(name);
    if (type.kind === "list") {
      write(type.element);
      lines.push("", ...generateList(name, type.element, types));
    } else if (type.kind === "tuple") {
      type.elements.forEach(write);
      lines.push("", ...generateView(name, "", type.elements, ["first", "second", "third", "fourth"], [], types));
    } else if (type.kind === "named") {
      const definition = types.definition(type.name);
      if (definition.kind === "enum") return;
      const fields = definition.fields.map((field) => field.type);
      fields.forEach(write);
      const names = definition.fields.map((field) => toCamel(field.name));
      const docs = definition.fields.map((field) => field.docs);
      lines.push("", ...generateView(name, definition.docs, fields, names, docs, types));
    }
  };
  for (const { parameters } of called) for (const { type } of parameters) write(type);
  const answers = new Set<string>();
  for (const { result } of called) {
    const answer = result.kind === "named" ? types.definition(result.name) : undefined;
    if (answer?.kind === "record" && !answers.has(answer.name)) lines.push("", ...generateAnswer(answer, types));
    if (answer !== undefined) answers.add(answer.name);
  }
  return `${lines.join("\n")}\n`;
}

function fileNote(wit: WitPackage): readonly string[] {
  return [`// ${wit.name}@${wit.version}: arguments as views of memory that is gone when the call is over, answers as classes.`];
}

function generateEnum({ name, docs, cases }: WitEnum): readonly string[] {
  const named = cases.flatMap((each) => [...blockComment(each.docs, "  "), `  ${toPascal(each.name)},`]);
  return [...blockComment(docs), `export enum ${toPascal(name)} {`, ...named, "}"];
}

function generateList(name: string, element: WitType, types: Types): readonly string[] {
  const { bytes } = types.layout(element);
  return [
    "// @ts-ignore: decorator",
    "@unmanaged",
    `export class ${name} {`,
    "  get length(): i32 {",
    "    return load<i32>(changetype<usize>(this), 4);",
    "  }",
    "  // @ts-ignore: decorator",
    '  @operator("[]")',
    `  at(index: i32): ${viewType(element, types)} {`,
    "    if (<u32>index >= <u32>this.length) unreachable();",
    `    const at = <usize>load<u32>(changetype<usize>(this)) + <usize>index * ${bytes};`,
    `    return ${readAt(element, "at", types)};`,
    "  }",
    "}",
  ];
}

function generateView(
  name: string,
  docs: string,
  fields: readonly WitType[],
  names: readonly string[],
  fieldDocs: readonly string[],
  types: Types,
): readonly string[] {
  const offsets = types.offsets(fields);
  const getters = fields.flatMap((type, i) => [
    ...blockComment(fieldDocs[i] ?? "", "  "),
    `  get ${names[i] ?? `field${i}`}(): ${viewType(type, types)} {`,
    `    return ${readAt(type, `changetype<usize>(this) + ${offsets[i]}`, types)};`,
    "  }",
  ]);
  return [...blockComment(docs), "// @ts-ignore: decorator", "@unmanaged", `export class ${name} {`, ...getters, "}"];
}

function answerType(type: WitType, types: Types): string {
  if (type.kind === "primitive") return type.name;
  if (type.kind === "list") return `Array<${answerType(type.element, types)}>`;
  if (type.kind === "named" && types.definition(type.name).kind === "enum") return toPascal(type.name);
  if (type.kind === "tuple" && type.elements.every((element) => element.kind === "primitive" && element.name === "string"))
    return "StaticArray<string>";
  throw new Error(`cannot make AssemblyScript bindings: found ${type.kind} within an answer`);
}

function writeAt(type: WitType, at: string, value: string, types: Types, depth: number): readonly string[] {
  const name = answerType(type, types);
  if (type.kind === "primitive") return [type.name === "string" ? `lowerText(${value}, ${at});` : `store<${name}>(${at}, ${value});`];
  if (type.kind === "named") return [`store<u8>(${at}, <u8>${value});`];
  if (type.kind === "tuple") {
    const offsets = types.offsets(type.elements);
    return type.elements.flatMap((element, i) => writeAt(element, `${at} + ${offsets[i]}`, `${value}[${i}]`, types, depth));
  }
  if (type.kind !== "list") throw new Error("internal error: not an answer type");
  const { bytes, align } = types.layout(type.element);
  return [
    `const list${depth} = __reserve(<usize>${value}.length * ${bytes}, ${align});`,
    `store<u32>(${at}, <u32>list${depth});`,
    `store<u32>(${at} + 4, ${value}.length);`,
    `for (let i${depth} = 0; i${depth} < ${value}.length; i${depth}++) {`,
    ...writeAt(type.element, `list${depth} + <usize>i${depth} * ${bytes}`, `${value}[i${depth}]`, types, depth + 1).map(
      (line) => `  ${line}`,
    ),
    "}",
  ];
}

function generateAnswer(record: WitRecord, types: Types): readonly string[] {
  const name = toPascal(record.name);
  const offsets = types.fieldOffsets(record);
  const parameters = record.fields.map((field, i) => {
    const type = answerType(field.type, types);
    const optional = field.type.kind === "list" ? " = []" : i > 1 ? ' = ""' : "";
    return `    public ${toCamel(field.name)}: ${type}${optional},`;
  });
  const body = record.fields.flatMap((field, i) =>
    writeAt(field.type, `at + ${offsets[i]}`, `answer.${toCamel(field.name)}`, types, 0).map((line) => `  ${line}`),
  );
  return [
    ...blockComment(record.docs),
    `export class ${name} {`,
    "  constructor(",
    ...parameters,
    "  ) {}",
    "}",
    "",
    `export function lower${name}(answer: ${name}, at: usize): void {`,
    ...body,
    "}",
  ];
}

function generateExports(wit: WitPackage): string {
  const types = new Types(wit);
  const { functions } = exportedInterface(wit);
  const lowered = functions.flatMap(({ result }) => (result.kind === "named" ? [`lower${toPascal(result.name)}`] : []));
  const views = new Set(functions.flatMap(({ parameters }) => parameters.map(({ type }) => viewType(type, types).replace(" | null", ""))));
  const imports = ["lowerError", ...lowered, ...views].sort().join(", ");
  const lines = [
    `// ${GENERATED}`,
    "// Entry of the module: what the host calls, in the canonical ABI. `azure-proxy-agent module componentize` gives the exports their",
    "// names of the component model. What `configure` allocates stays; all else is forgotten when a call is over.",
    "",
    `import { ${imports} } from "./policy";`,
    `import { ${functions.map(({ name }) => `${toCamel(name)} as ${toCamel(`policy-${name}`)}`).join(", ")} } from "../policy";`,
    "",
    "export function cabi_realloc(old: usize, oldBytes: usize, align: usize, bytes: usize): usize {",
    "  __begin();",
    "  const fresh = __reserve(bytes, align);",
    "  if (old != 0 && oldBytes != 0) memory.copy(fresh, old, oldBytes < bytes ? oldBytes : bytes);",
    "  return fresh;",
    "}",
  ];
  for (const called of functions) lines.push("", ...generateExport(called, types));
  return `${lines.join("\n")}\n`;
}

function generateExport(called: WitFunction, types: Types): readonly string[] {
  const name = called.name.replaceAll("-", "_");
  const area = toConstant(called.name);
  const { bytes, align } = types.layout(called.result);
  const spilled = types.isSpilled(called);
  const offsets = types.offsets(called.parameters.map(({ type }) => type));
  const readArguments = called.parameters.map(({ type }, i) => readAt(type, `args + ${offsets[i]}`, types));
  const [only] = called.parameters;
  if (!spilled && (called.parameters.length !== 1 || only?.type.kind !== "list"))
    throw new Error(`cannot make AssemblyScript bindings: "${called.name}" takes neither one list nor a spilled record`);
  const take = spilled ? [] : ["  const args = __reserve(8, 4);", "  store<u32>(args, <u32>pointer);", "  store<u32>(args, length, 4);"];
  const call = `${toCamel(`policy-${called.name}`)}(${readArguments.join(", ")})`;
  const lower =
    called.result.kind === "named" ? `lower${toPascal(called.result.name)}(${call}, ${area});` : `lowerError(${call}, ${area});`;
  return [
    `const ${area}: usize = memory.data(${bytes}, ${align});`,
    `export function ${name}(${spilled ? "args: usize" : "pointer: usize, length: u32"}): usize {`,
    "  __begin();",
    ...take,
    `  ${lower}`,
    `  return ${area};`,
    "}",
    "// Each compares its own address: equal functions would be folded into one export.",
    `export function post_${name}(result: usize): void {`,
    `  if (result != ${area}) unreachable();`,
    called.name === "configure" ? "  __keep();" : "  __forget();",
    "}",
  ];
}
