// The help of a command, of a group of commands and of the whole program, from their tables; for a terminal of 100 columns.

import { wrap } from "../../core/text/text-layout.ts";
import { EXIT, EXIT_MEANINGS, type ExitName } from "../../exit-code.ts";
import { type CommandSpec, invocation, type OptionSpec } from "./spec.ts";

/** So many options stand in the first line by their names. */
const MAX_SHOWN_OPTIONS = 3;
const MAX_TERM_COLUMNS = 22;

export function renderHelp(spec: CommandSpec): string {
  const terms = [
    ...spec.operands.map(({ name, does }) => [name, does] as const),
    ...Object.entries(spec.options).map(([name, option]) => [optionTerm(name, option), option.does] as const),
    ["-h, --help", "this text"] as const,
  ];
  return lines([
    ...synopsis(spec),
    ...spec.about.flatMap((paragraph) => ["", ...(paragraph.startsWith(" ") ? paragraph.split("\n") : wrap("", paragraph))]),
    "",
    ...renderTerms(terms),
    "",
    ...wrap(
      "Exit codes: ",
      exitsOf(spec)
        .map(([code, means]) => `${code} ${means}`)
        .join(", "),
    ),
  ]);
}

/** One line, the first of the help: required options, other options, operands. */
export function synopsis(spec: CommandSpec): readonly string[] {
  return wrap(`${invocation(spec.name)} `, synopsisWords(spec).join(" "));
}

export function synopsisWords({ options, operands }: CommandSpec): readonly string[] {
  const entries = Object.entries(options);
  const isRequired = (option: OptionSpec) => option.kind !== "flag" && option.required === true;
  const free = entries.filter(([, option]) => !isRequired(option));
  return [
    ...entries.filter(([, option]) => isRequired(option)).map(([name, option]) => longForm(name, option)),
    ...(free.length > MAX_SHOWN_OPTIONS ? ["[OPTION]..."] : free.map(([name, option]) => `[${longForm(name, option)}]`)),
    ...operands.map(({ name, optional, most }) => {
      const many = `${name}${(most ?? 1) > 1 ? "..." : ""}`;
      return optional === true ? `[${many}]` : many;
    }),
  ];
}

function longForm(name: string, option: OptionSpec): string {
  // A name of one letter has no long form that anybody would know.
  return option.kind === "flag" ? `--${name}` : `--${name} ${option.value}`;
}

/** `-o, --output FILE`. */
export function optionTerm(name: string, option: OptionSpec): string {
  return `${option.short === undefined ? "" : `-${option.short}, `}${longForm(name, option)}`;
}

/** Codes and words, in rising order; every command can find its command line wrong. */
export function exitsOf({ exits }: CommandSpec): readonly (readonly [code: number, means: string])[] {
  const named = [...exits, "usage" as const].map((exit): readonly [number, string] => {
    const [name, means] = typeof exit === "string" ? [exit, EXIT_MEANINGS[exit].short] : exit;
    return [EXIT[name], means];
  });
  return named.sort(([a], [b]) => a - b);
}

export interface ListedCommand {
  readonly name: string;
  readonly does: string;
}

/** @param word - of the group, such as `policy` */
export function renderGroupHelp(word: string, commands: readonly ListedCommand[], notes: readonly string[]): string {
  return lines([
    `${invocation(word)} COMMAND [OPTION]... (${invocation(`help ${word}`)} COMMAND says more)`,
    "",
    ...renderTerms(commands.map(({ name, does }) => [name, does])),
    ...notes.flatMap((note) => ["", ...wrap("", note)]),
  ]);
}

/** @param commands - in the order in which they are shown */
export function renderProgramHelp(commands: readonly ListedCommand[]): string {
  const own = [
    { name: "help [COMMAND]", does: "this text, or all about a command" },
    { name: "version", does: "print the version and nothing else" },
  ];
  return lines([
    "azure-proxy-agent: identifies, authorizes and endorses requests to Azure's metadata services",
    "",
    ...renderTerms([...commands, ...own].map(({ name, does }) => [name, does])),
    "",
    "As the reference has it:",
    "  azure-proxy-agent --config FILE                run",
    "  azure-proxy-agent --status [--wait SECONDS]    status (-s, -w)",
    "  azure-proxy-agent --version, --help            version (-v, -V), help (-h)",
    "",
    ...wrap(
      "Exit codes: ",
      Object.entries(EXIT_MEANINGS)
        .map(([name, { short }]) => `${EXIT[name as ExitName]} ${short}`)
        .join(", "),
    ),
  ]);
}

function renderTerms(terms: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.min(MAX_TERM_COLUMNS, Math.max(...terms.map(([term]) => term.length)));
  return terms.flatMap(([term, does]) => {
    if (term.length <= width) return wrap(`  ${term.padEnd(width)}  `, does);
    return [`  ${term}`, ...wrap(" ".repeat(width + 4), does)];
  });
}

function lines(all: readonly string[]): string {
  return `${all.join("\n")}\n`;
}
