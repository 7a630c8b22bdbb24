// Command lines of the policy tools: options with a value, flags, operands. What is not known is refused.

import { err, ok, type Result } from "../core/result.ts";
import { quote } from "../core/text/text-layout.ts";

/** What a tool takes. */
export interface OptionShape {
  readonly values: readonly string[];
  readonly flags: readonly string[];
  /** Options with a value that may be there several times. */
  readonly lists?: readonly string[];
  /** Fewest and most operands. */
  readonly operands: readonly [number, number];
}

export interface Options {
  value(name: string): string | undefined;
  /** In the order given. */
  list(name: string): readonly string[];
  has(flag: string): boolean;
  readonly operands: readonly string[];
}

export function parseOptions(argv: readonly string[], shape: OptionShape): Result<Options, string> {
  const values = new Map<string, string>();
  const lists = new Map<string, readonly string[]>();
  const flags = new Set<string>();
  const operands: string[] = [];
  const words = [...argv];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === "--") operands.push(...words.splice(0));
    else if (word === "-" || !word.startsWith("-")) operands.push(word);
    else if (shape.flags.includes(word)) flags.add(word);
    else {
      const equals = word.startsWith("--") ? word.indexOf("=") : -1;
      const name = equals < 0 ? word : word.slice(0, equals);
      const isList = shape.lists?.includes(name) === true;
      if (!isList && !shape.values.includes(name)) return err(`unknown option ${quote(word)}`);
      const value = equals < 0 ? words.shift() : word.slice(equals + 1);
      if (value === undefined || value === "") return err(`${name} wants a value`);
      if (values.has(name)) return err(`${name} is there twice`);
      if (isList) lists.set(name, [...(lists.get(name) ?? []), value]);
      else values.set(name, value);
    }
  }
  const [least, most] = shape.operands;
  if (operands.length < least || operands.length > most)
    return err(`found ${operands.length} operands, want ${least === most ? least : `${least} to ${most}`}`);
  return ok({ value: (name) => values.get(name), list: (name) => lists.get(name) ?? [], has: (flag) => flags.has(flag), operands });
}
