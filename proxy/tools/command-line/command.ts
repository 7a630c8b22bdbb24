// Joins a command's table with its code, and runs it: help when it is asked for, else the command line read by the table, else the code,
// which is loaded only then.

import { parseCommandLine } from "./parse.ts";
import type { CommandSpec, Given, OptionSpecs } from "./spec.ts";

export interface Command {
  readonly spec: CommandSpec;
  /** @param argv - after the words of the command; gives the exit code */
  readonly run: (argv: readonly string[]) => Promise<number>;
}

/** Commands by their last word, such as `check`. */
export type Commands = Readonly<Record<string, Command>>;

type Code<Specs extends OptionSpecs> = (given: Given<Specs>) => number | Promise<number>;

/** @param load - loads the code of this command alone; it can rely on what the table says */
export function command<Specs extends OptionSpecs>(
  spec: CommandSpec & { readonly options: Specs },
  load: () => Promise<Code<Specs>>,
): Command {
  return {
    spec,
    run: async (argv) => {
      if (asksForHelp(argv)) {
        const { renderHelp } = await import("./help.ts");
        process.stdout.write(renderHelp(spec));
        return 0;
      }
      const given = parseCommandLine(spec, argv);
      if (given.ok) return (await load())(given.value);
      const { refuseUsageError } = await import("./usage-error.ts");
      return refuseUsageError(spec.name, given.error);
    },
  };
}

/** Whoever asks for help gets it, whatever else is on the line. */
export function asksForHelp(argv: readonly string[]): boolean {
  return beforeOperands(argv).some((word) => word === "--help" || word === "-h");
}

/** What may be options. */
export function beforeOperands(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf("--");
  return end < 0 ? argv : argv.slice(0, end);
}
