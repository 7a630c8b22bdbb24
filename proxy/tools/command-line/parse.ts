// Reads a command line by a command's table, with parseArgs of node:util. What is not in the table, is given twice, lacks its value or
// does not go together is refused in one line; nothing is guessed.

import { parseArgs } from "node:util";
import { err, ok, type Result } from "../../core/result.ts";
import type { CommandSpec, Given, OptionSpec, OptionSpecs } from "./spec.ts";

export type UsageError =
  | { readonly kind: "unknown-option"; readonly option: string; readonly known: readonly string[] }
  | { readonly kind: "wrong"; readonly message: string };

type Value = boolean | string | number | readonly string[] | undefined;

/** @param argv - after the words of the command */
export function parseCommandLine<Specs extends OptionSpecs>(
  spec: CommandSpec & { readonly options: Specs },
  argv: readonly string[],
): Result<Given<Specs>, UsageError> {
  // Not strict: its errors are thrown, and have other words. The tokens tell all that is needed.
  const { tokens } = parseArgs({
    args: [...argv],
    options: parseArgsOptions(spec.options),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, Value>();
  const operands: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") operands.push(token.value);
    if (token.kind !== "option") continue;
    const option = Object.hasOwn(spec.options, token.name) ? spec.options[token.name] : undefined;
    if (option === undefined)
      return err({ kind: "unknown-option", option: asWritten(argv[token.index] ?? token.rawName), known: longNames(spec) });
    const value = readValue(token.rawName, option, token.value, token.inlineValue === true, spec);
    if (!value.ok) return wrong(value.error);
    const before = values.get(token.name);
    if (option.kind === "list")
      values.set(token.name, [...(Array.isArray(before) ? before : []), ...[value.value].flat()] as readonly string[]);
    else if (before !== undefined) return wrong(`${token.rawName} is given twice`);
    else values.set(token.name, value.value);
  }
  const missing = Object.entries(spec.options).find(
    ([name, option]) => option.kind !== "flag" && option.required === true && !values.has(name),
  );
  if (missing !== undefined) return wrong(`--${missing[0]} is needed`);
  for (const group of spec.excludes ?? []) {
    const given = group.filter((name) => values.has(name));
    if (given.length > 1) return wrong(`${given.map((name) => `--${name}`).join(" and ")} exclude each other`);
  }
  const counted = checkOperands(spec, operands);
  if (counted !== undefined) return wrong(counted);
  const options = Object.fromEntries(
    Object.entries(spec.options).map(([name, { kind }]) => [
      name,
      values.get(name) ?? (kind === "flag" ? false : kind === "list" ? [] : undefined),
    ]),
  );
  // INVARIANT: readValue gives each kind of option the type that ValueOf names.
  return ok({ options, operands } as unknown as Given<Specs>);
}

function wrong(message: string): { readonly ok: false; readonly error: UsageError } {
  return err({ kind: "wrong", message });
}

function parseArgsOptions(specs: OptionSpecs): Record<string, { type: "boolean" | "string"; short?: string; multiple: true }> {
  return Object.fromEntries(
    Object.entries(specs).map(([name, { kind, short }]) => [
      name,
      {
        type: kind === "flag" ? ("boolean" as const) : ("string" as const),
        multiple: true as const,
        ...(short === undefined ? {} : { short }),
      },
    ]),
  );
}

function longNames({ options }: CommandSpec): readonly string[] {
  return Object.keys(options).map((name) => `--${name}`);
}

/** Without the value, which may be anything. */
function asWritten(word: string): string {
  const equals = word.startsWith("--") ? word.indexOf("=") : -1;
  return equals < 0 ? word : word.slice(0, equals);
}

/** @param written - the option as the command line has it, for messages */
function readValue(
  written: string,
  option: OptionSpec,
  text: string | undefined,
  isInline: boolean,
  spec: CommandSpec,
): Result<Value, string> {
  if (option.kind === "flag") return text === undefined ? ok(true) : err(`${written} takes no value`);
  // `-w=5` as well as `-w5`, as the reference takes both.
  const value = isInline && !written.startsWith("--") && text?.startsWith("=") === true ? text.slice(1) : text;
  if (value === undefined || value === "") return err(`${written} wants a value: ${written} ${option.value}`);
  // "--config --json" is a forgotten value. A value that does begin so is written with "=".
  if (!isInline && isOptionOf(spec, value)) return err(`${written} wants a value, found the option ${value}`);
  switch (option.kind) {
    case "text":
    case "list":
      return ok(value);
    case "word": {
      const word = findWord(option.words, value);
      return word === undefined ? err(`${written} wants ${listWords(option.words)}, found ${JSON.stringify(value)}`) : ok(word);
    }
    case "words": {
      const words = value.split(",").map((each) => findWord(option.words, each.trim()));
      const isGood = words.every((word) => word !== undefined) && new Set(words).size === words.length;
      return isGood ? ok(words) : err(`${written} wants some of ${option.words.join(", ")}, found ${JSON.stringify(value)}`);
    }
    case "number": {
      const { least, most, unit } = option;
      const number = /^[0-9]{1,15}$/.test(value) ? Number(value) : undefined;
      if (number !== undefined && number >= least && number <= most) return ok(number);
      const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
      return err(`${written} wants a whole number${unit === undefined ? "" : ` of ${unit}`} ${range}, found ${JSON.stringify(value)}`);
    }
  }
}

function isOptionOf(spec: CommandSpec, value: string): boolean {
  return Object.entries(spec.options).some(
    ([name, { short }]) => value === `--${name}` || value.startsWith(`--${name}=`) || value === `-${short ?? " "}`,
  );
}

function findWord(words: readonly string[], found: string): string | undefined {
  return words.find((word) => word.toLowerCase() === found.toLowerCase());
}

function listWords(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

/** What is wrong with the number of operands, in words; undefined: nothing. */
function checkOperands({ operands: specs }: CommandSpec, operands: readonly string[]): string | undefined {
  const least = specs.filter(({ optional }) => optional !== true).length;
  const most = specs.reduce((sum, { most: each }) => sum + (each ?? 1), 0);
  if (operands.length < least) return `${specs[operands.length]?.name ?? "an operand"} is missing`;
  if (operands.length > most) return `unexpected operand ${JSON.stringify(operands[most])}`;
  return undefined;
}
