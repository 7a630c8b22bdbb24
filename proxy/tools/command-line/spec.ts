// What a command takes, as data: from one such table come its parser, its help, its part of the man page, its row in
// docs/operations.md and its completion in shells. Loads nothing, so that the daemon's own table costs it nothing.

import type { ExitName } from "../../exit-code.ts";

interface OptionBase {
  /** One letter. */
  readonly short?: string;
  /** For help and man page: begins lower-case, no full stop. */
  readonly does: string;
}

export interface FlagOption extends OptionBase {
  readonly kind: "flag";
}

interface ValueBase extends OptionBase {
  /** Word for the value in help, such as FILE; FILE and FOLDER are completed from the file system. */
  readonly value: string;
  readonly required?: true;
}

/** Any text but the empty one. */
export interface TextOption extends ValueBase {
  readonly kind: "text";
}

/** As text, several times. */
export interface ListOption extends ValueBase {
  readonly kind: "list";
}

/** One of these words, letter case ignored. */
export interface WordOption<Word extends string = string> extends ValueBase {
  readonly kind: "word";
  readonly words: readonly Word[];
}

/** Some of these words with commas between them, each once, letter case ignored. */
export interface WordsOption<Word extends string = string> extends ValueBase {
  readonly kind: "words";
  readonly words: readonly Word[];
}

export interface NumberOption extends ValueBase {
  readonly kind: "number";
  readonly least: number;
  readonly most: number;
  /** For messages, such as `seconds`. */
  readonly unit?: string;
}

export type OptionSpec = FlagOption | TextOption | ListOption | WordOption | WordsOption | NumberOption;
/** By their long names without dashes. */
export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

export interface OperandSpec {
  readonly name: string;
  readonly does: string;
  /** May be left out. */
  readonly optional?: true;
  /** So many at most; 1 when it does not say. */
  readonly most?: number;
  /** The only ones that there are, for completion; what else is given is the command's to refuse. */
  readonly words?: readonly string[];
}

export interface CommandSpec {
  /** All its words, such as `policy check`; empty: the program without a command. */
  readonly name: string;
  /** One line for lists of commands: begins lower-case, no full stop. */
  readonly does: string;
  /** Sentences for its help; a paragraph each. A paragraph that begins with a blank stands as it is. */
  readonly about: readonly string[];
  readonly options: OptionSpecs;
  readonly operands: readonly OperandSpec[];
  /** Long names of options of which one at most may be given. */
  readonly excludes?: readonly (readonly string[])[];
  /** The exit codes that it has besides `usage`, with its own words where the general ones do not say enough. */
  readonly exits: readonly (ExitName | readonly [ExitName, string])[];
}

type ValueOf<Spec extends OptionSpec> = Spec extends FlagOption
  ? boolean
  : Spec extends ListOption
    ? readonly string[]
    : Spec extends NumberOption
      ? number | (Spec extends { readonly required: true } ? never : undefined)
      : Spec extends WordsOption<infer Word>
        ? readonly Word[] | (Spec extends { readonly required: true } ? never : undefined)
        : Spec extends WordOption<infer Word>
          ? Word | (Spec extends { readonly required: true } ? never : undefined)
          : string | (Spec extends { readonly required: true } ? never : undefined);

/** What a command line said for these options. */
export type OptionValues<Specs extends OptionSpecs> = { readonly [Name in keyof Specs]: ValueOf<Specs[Name]> };

/** What a command line said; it fits the table, so a command need not check that again. */
export interface Given<Specs extends OptionSpecs> {
  readonly options: OptionValues<Specs>;
  readonly operands: readonly string[];
}

/** `azure-proxy-agent policy check`. */
export function invocation(name: string): string {
  return name === "" ? "azure-proxy-agent" : `azure-proxy-agent ${name}`;
}

/** The option that nearly every command has. */
export const CONFIG_OPTION = {
  config: {
    kind: "text",
    value: "FILE",
    does: "the agent's config (default: /etc/azure/proxy-agent.json, else proxy-agent.json beside the program)",
  },
} as const satisfies OptionSpecs;

export const JSON_OPTION = { json: { kind: "flag", does: "as JSON" } } as const satisfies OptionSpecs;
