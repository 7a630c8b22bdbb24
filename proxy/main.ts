// The program: finds the command that the command line names, and runs it. Options without a command are the reference's form. Without
// anything it is the daemon where a service manager started it, and help everywhere else.

import { isatty } from "node:tty";
import { askStatus, ENTRIES, type Entry, ROOT, runDaemon } from "./commands.ts";
import { COMPILE_ITEM_COMMAND, HASH_FILES_COMMAND } from "./daemon/own-command.ts";
import { EXIT } from "./exit-code.ts";
import { asksForHelp, beforeOperands } from "./tools/command-line/command.ts";
import { parseCommandLine } from "./tools/command-line/parse.ts";
import { isStartedByServiceManager } from "./tools/command-line/service-manager.ts";
import { VERSION } from "./version.ts";

/** How the daemon starts itself; not for people. */
const OWN_COMMANDS: Readonly<Record<string, () => Promise<(argv: readonly string[]) => number | Promise<number>>>> = {
  [COMPILE_ITEM_COMMAND]: async () => (await import("./daemon/compile-item.ts")).compileItemForDaemon,
  [HASH_FILES_COMMAND]: async () => (await import("./daemon/hash-files.ts")).hashFilesForDaemon,
};
/** Commands that the reference has in one form or the other: whoever asks them for the version gets it. */
const OF_THE_REFERENCE: readonly string[] = ["run", "console", "status"];
const VERSION_OPTIONS: readonly string[] = ["-v", "-V", "--version"];

if (import.meta.main) {
  // Not exit(): what was written to a pipe must still arrive.
  process.exitCode = await runProgram(process.argv.slice(2));
}

/** @returns the exit code; of the daemon 0 when it has started */
async function runProgram(argv: readonly string[]): Promise<number> {
  const [word = "", ...rest] = argv;
  const own = Object.hasOwn(OWN_COMMANDS, word) ? OWN_COMMANDS[word] : undefined;
  if (own !== undefined) return (await own())(rest);
  const isOption = word === "" || word.startsWith("-");
  if ((isOption || OF_THE_REFERENCE.includes(word)) && beforeOperands(argv).some((each) => VERSION_OPTIONS.includes(each)))
    return printVersion();
  if (isOption) return runOptions(argv);
  if (word === "version" && !asksForHelp(rest)) return rest.length === 0 ? printVersion() : refuse("", "version takes no operand");
  if (word === "help" || word === "version") return help(word === "help" ? rest : []);
  return runCommand(argv);
}

function printVersion(): number {
  process.stdout.write(`${VERSION}\n`);
  return EXIT.ok;
}

/** The reference's form. */
async function runOptions(argv: readonly string[]): Promise<number> {
  if (asksForHelp(argv)) return printHelp();
  const given = parseCommandLine(ROOT, argv);
  if (!given.ok) {
    const { refuseUsageError } = await import("./tools/command-line/usage-error.ts");
    return refuseUsageError("", given.error);
  }
  const { status, wait, config } = given.value.options;
  if (status) return askStatus({ wait, config });
  if (wait !== undefined) return refuse("", "--wait goes with --status only");
  if (config !== undefined || isService()) return runDaemon(config, false);
  await printHelp(process.stderr);
  return EXIT.usage;
}

function isService(): boolean {
  const hasTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
  return isStartedByServiceManager({ environment: process.env, pid: process.pid, hasTerminal });
}

async function runCommand([word = "", ...rest]: readonly string[]): Promise<number> {
  const entry = await findEntry(word);
  if (entry === undefined) return refuseUnknown("", "command", word, Object.keys(ENTRIES));
  if (entry.kind === "command") return entry.command.run(rest);
  const { commands } = entry.group;
  const [second = "", ...others] = rest;
  const found = Object.hasOwn(commands, second) ? commands[second] : undefined;
  if (found !== undefined) return found.run(others);
  if (second === "help") return help([word, ...others]);
  if (second === "" || asksForHelp([second])) {
    await printGroupHelp(word, entry, second === "" ? process.stderr : process.stdout);
    return second === "" ? EXIT.usage : EXIT.ok;
  }
  return refuseUnknown(word, second.startsWith("-") ? "option" : `${word} command`, second, Object.keys(commands));
}

/** `help`, `help COMMAND`, `help GROUP COMMAND`. */
async function help(words: readonly string[]): Promise<number> {
  const plain = words.filter((word) => word !== "--help" && word !== "-h");
  const [word] = plain;
  if (word === undefined) return printHelp();
  if (word === "help" || word === "version") return printHelp();
  return runCommand([...plain, "--help"]);
}

async function findEntry(word: string): Promise<Entry | undefined> {
  return Object.hasOwn(ENTRIES, word) ? ENTRIES[word]?.() : undefined;
}

async function printHelp(stream: NodeJS.WritableStream = process.stdout): Promise<number> {
  const { renderProgramHelp } = await import("./tools/command-line/help.ts");
  const listed = await Promise.all(Object.keys(ENTRIES).map(async (name) => ({ name, does: doesOf(await findEntry(name)) })));
  stream.write(renderProgramHelp(listed));
  return EXIT.ok;
}

function doesOf(entry: Entry | undefined): string {
  return (entry?.kind === "group" ? entry.group.does : entry?.command.spec.does) ?? "";
}

async function printGroupHelp(word: string, entry: Entry & { readonly kind: "group" }, stream: NodeJS.WritableStream): Promise<void> {
  const { renderGroupHelp } = await import("./tools/command-line/help.ts");
  const { commands, notes } = entry.group;
  const listed = Object.entries(commands).map(([name, { spec }]) => ({ name, does: spec.does }));
  stream.write(renderGroupHelp(word, listed, notes));
}

async function refuse(name: string, message: string): Promise<number> {
  const { refuseUsage } = await import("./tools/command-line/usage-error.ts");
  return refuseUsage(name, message);
}

async function refuseUnknown(name: string, kind: string, found: string, known: readonly string[]): Promise<number> {
  const { unknownWord } = await import("./tools/command-line/usage-error.ts");
  return refuse(name, unknownWord(kind, found, known));
}
