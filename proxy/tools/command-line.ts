// Commands that are several tools: picks the one that the command line names, and tells what there is.

import { quote } from "../core/text/text-layout.ts";
import { printLines, refuseUsage, TOOL_EXIT } from "./output.ts";

/** Each loads only its own code. */
export interface Tool {
  /** For the list of tools. */
  readonly does: string;
  readonly load: () => Promise<{ readonly run: (argv: readonly string[]) => number | Promise<number>; readonly usage: string }>;
}

export type Tools = Readonly<Record<string, Tool>>;

/** The tools of a command, one a line. */
export function listTools(tools: Tools): string {
  const names = Object.keys(tools);
  const width = Math.max(...names.map((name) => name.length));
  return names.map((name) => `  ${name.padEnd(width)}  ${tools[name]?.does ?? ""}`).join("\n");
}

/**
 * Runs the chosen tool and gives its exit code.
 * @param command - such as `policy`, for messages
 */
export async function runTool(command: string, tools: Tools, usage: string, argv: readonly string[]): Promise<number> {
  const [word, ...rest] = argv;
  const tool = word !== undefined && Object.hasOwn(tools, word) ? tools[word] : undefined;
  if (tool === undefined) {
    if (word === "--help" || word === "-h") return help(usage);
    return refuseUsage(word === undefined ? `a ${command} tool is needed` : `unknown ${command} tool ${quote(word)}`, usage);
  }
  const loaded = await tool.load();
  const end = rest.indexOf("--");
  const asksForHelp = rest.slice(0, end < 0 ? undefined : end).some((each) => each === "--help" || each === "-h");
  return asksForHelp ? help(loaded.usage) : loaded.run(rest);
}

function help(usage: string): number {
  printLines([usage.trimEnd()]);
  return TOOL_EXIT.yes;
}
