// WIT names (kebab-case) in the spelling of each language.

export function toPascal(name: string): string {
  return name
    .split("-")
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join("");
}

export function toCamel(name: string): string {
  const pascal = toPascal(name);
  return pascal.charAt(0).toLowerCase() + pascal.slice(1);
}

export function toSnake(name: string): string {
  return name.replaceAll("-", "_");
}

export function toConstant(name: string): string {
  return toSnake(name).toUpperCase();
}

/** First line of every generated file, after the comment sign. */
export const GENERATED = "Generated from policy-wasm/wit/policy.wit by scripts/build-bindings.ts; do not edit.";

/** A WIT doc comment as block comment lines; nothing when there is none. */
export function blockComment(docs: string, indent = ""): readonly string[] {
  const lines = docs.replaceAll("*/", "* /").split("\n");
  if (docs === "") return [];
  if (lines.length === 1) return [`${indent}/** ${lines[0]} */`];
  return [`${indent}/**`, ...lines.map((line) => `${indent} * ${line}`.trimEnd()), `${indent} */`];
}
