// Rust bindings: structs with the canonical ABI's layout, read in place, and a macro that exports a policy. They need nothing but
// `std` of wasm32-unknown-unknown and compile with Rust 1.63 and later.

import { exportedInterface, exportPrefix, Types } from "./abi-layout.ts";
import type { WitDefinition, WitPackage, WitType } from "./parse-wit.ts";
import { GENERATED, toPascal, toSnake } from "./spelling.ts";

/** @param runtime - text, lists, memory of a call and the macro, in which the export names are filled in */
export function generateRust(wit: WitPackage, runtime: string): string {
  const types = new Types(wit);
  const { functions } = exportedInterface(wit);
  const evaluate = functions.find(({ name }) => name === "evaluate");
  if (evaluate === undefined) throw new Error('cannot make Rust bindings: found no function "evaluate"');
  const lines = [
    `// ${GENERATED}`,
    `//! ${wit.name}@${wit.version}. Implement \`Policy\` and name the type in \`export_policy!\`.`,
    "",
    runtime.trimEnd().replaceAll("EXPORT_PREFIX", exportPrefix(wit)),
  ];
  for (const definition of types.all) lines.push("", ...generateDefinition(definition, types));
  lines.push("", "/// What `evaluate` gets, as it lies in memory.", "#[repr(C)]", "pub struct Arguments {");
  for (const { name, type } of evaluate.parameters) lines.push(`    pub ${toSnake(name)}: ${typeName(type)},`);
  lines.push("}", "", '#[cfg(target_arch = "wasm32")]', "const _: () = {");
  for (const definition of types.all) {
    const { bytes, align } = types.layout({ kind: "named", name: definition.name });
    const name = toPascal(definition.name);
    lines.push(`    assert!(core::mem::size_of::<${name}>() == ${bytes} && core::mem::align_of::<${name}>() == ${align});`);
  }
  lines.push(
    `    assert!(core::mem::size_of::<Arguments>() == ${types.sequence(evaluate.parameters.map(({ type }) => type)).bytes});`,
    "};",
  );
  return `${lines.join("\n")}\n`;
}

function typeName(type: WitType): string {
  switch (type.kind) {
    case "primitive":
      return type.name === "string" ? "Text" : type.name;
    case "list":
      return `List<${typeName(type.element)}>`;
    case "option":
      return `Maybe<${typeName(type.element)}>`;
    case "tuple":
      if (type.elements.length !== 2) throw new Error("cannot make Rust bindings: want tuples of two");
      return `Pair<${type.elements.map(typeName).join(", ")}>`;
    case "named":
      return toPascal(type.name);
    case "result":
      throw new Error("cannot make Rust bindings: found a result within a value");
  }
}

function generateDefinition(definition: WitDefinition, types: Types): readonly string[] {
  const name = toPascal(definition.name);
  if (definition.kind === "enum") {
    if (types.layout({ kind: "named", name: definition.name }).bytes !== 1) throw new Error("cannot make Rust bindings: a large enum");
    return [
      ...docs(definition.docs),
      "#[repr(u8)]",
      "#[derive(Clone, Copy, Debug, PartialEq, Eq)]",
      `pub enum ${name} {`,
      ...definition.cases.flatMap((each) => [...docs(each.docs, "    "), `    ${toPascal(each.name)},`]),
      "}",
    ];
  }
  return [
    ...docs(definition.docs),
    "#[repr(C)]",
    `pub struct ${name} {`,
    ...definition.fields.flatMap((field) => [...docs(field.docs, "    "), `    pub ${toSnake(field.name)}: ${typeName(field.type)},`]),
    "}",
  ];
}

function docs(text: string, indent = ""): readonly string[] {
  return text === "" ? [] : text.split("\n").map((line) => `${indent}/// ${line}`.trimEnd());
}
