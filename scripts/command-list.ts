// All commands with their tables, for what is made of them: man page, documents, completion in shells.

import { ENTRIES } from "../proxy/commands.ts";
import type { CommandSpec } from "../proxy/tools/command-line/spec.ts";

export interface TopCommand {
  /** First word. */
  readonly word: string;
  readonly does: string;
  /** One, or those of the group by their second word. */
  readonly specs: readonly CommandSpec[];
  readonly isGroup: boolean;
}

/** In the order of the help. */
export async function listCommands(): Promise<readonly TopCommand[]> {
  return Promise.all(
    Object.entries(ENTRIES).map(async ([word, load]): Promise<TopCommand> => {
      const entry = await load();
      if (entry.kind === "command") return { word, does: entry.command.spec.does, specs: [entry.command.spec], isGroup: false };
      const { does, commands } = entry.group;
      return { word, does, specs: Object.values(commands).map(({ spec }) => spec), isGroup: true };
    }),
  );
}

/** The last word of a command, such as `check`. */
export function lastWord({ name }: CommandSpec): string {
  return name.split(" ").at(-1) ?? "";
}
