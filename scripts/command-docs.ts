// Makes from the tables of the commands what would else be written again by hand: parts of the man page and of docs/operations.md, and
// the completions of bash and zsh. `bun run commands` writes them; scripts/command-docs.test.ts compares them with what is there.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { EXIT, EXIT_MEANINGS, type ExitName } from "../proxy/exit-code.ts";
import { exitsOf, synopsisWords } from "../proxy/tools/command-line/help.ts";
import type { CommandSpec, OptionSpec } from "../proxy/tools/command-line/spec.ts";
import { renderBashCompletion, renderZshCompletion } from "./command-completion.ts";
import { listCommands, type TopCommand } from "./command-list.ts";

const MAN_PAGE = "debian/azure-proxy-agent.8";
const OPERATIONS = "docs/operations.md";

/** A part of a file: all between two lines that name it. */
interface Part {
  readonly path: string;
  readonly name: string;
  readonly text: string;
}

export interface MadeFile {
  readonly path: string;
  readonly text: string;
}

/** Every file with what the tables say in it. @param read - the text of a file as it is now */
export async function makeCommandDocs(read: (path: string) => string): Promise<readonly MadeFile[]> {
  const commands = await listCommands();
  const parts: readonly Part[] = [
    { path: MAN_PAGE, name: "synopsis", text: renderManSynopsis(commands) },
    { path: MAN_PAGE, name: "commands", text: renderManCommands(commands) },
    { path: MAN_PAGE, name: "exit-codes", text: renderManExits() },
    { path: OPERATIONS, name: "commands", text: renderCommandTable(commands) },
    { path: OPERATIONS, name: "exit-codes", text: renderExitTable() },
  ];
  const pages = [MAN_PAGE, OPERATIONS].map((path) => {
    const text = parts.filter((part) => part.path === path).reduce((page, part) => replacePart(page, part), read(path));
    return { path, text };
  });
  return [
    ...pages,
    { path: "debian/completions/bash/azure-proxy-agent", text: renderBashCompletion(commands) },
    { path: "debian/completions/zsh/_azure-proxy-agent", text: renderZshCompletion(commands) },
  ];
}

/** Marks are comments of the file's own kind. */
function replacePart(page: string, { path, name, text }: Part): string {
  const [begin, end] = path.endsWith(".md")
    ? [`<!-- made by "bun run commands": ${name} -->\n`, `<!-- end of ${name} -->\n`]
    : [`.\\" made by "bun run commands": ${name}\n`, `.\\" end of ${name}\n`];
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`cannot make ${path}: found no marks for "${name}"`);
  return `${page.slice(0, from + begin.length)}${text}${page.slice(to)}`;
}

function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/, "\\&$1");
}

/** Words that begin with a capital are placeholders. */
function manSynopsis(spec: CommandSpec): string {
  return synopsisWords(spec)
    .map((word) => roff(word).replaceAll(/\b[A-Z][A-Z|:[\]N]*\b/g, "\\fI$&\\fR"))
    .join(" ");
}

function renderManSynopsis(commands: readonly TopCommand[]): string {
  const lines = commands.flatMap(({ word, isGroup, specs: [spec] }) =>
    isGroup || spec === undefined
      ? [`.B azure\\-proxy\\-agent ${word}`, ".I COMMAND", "[\\fIOPTION\\fR]..."]
      : [`.B azure\\-proxy\\-agent ${word}`, manSynopsis(spec)],
  );
  const own = [
    ["help", "[\\fICOMMAND\\fR]"],
    ["version", ""],
  ].flatMap(([word, rest]) => [`.B azure\\-proxy\\-agent ${word}`, ...(rest === "" ? [] : [rest ?? ""])]);
  const references = [
    [".B azure\\-proxy\\-agent \\-\\-config", ".I FILE"],
    [
      ".B azure\\-proxy\\-agent \\-s\\fR|\\fB\\-\\-status",
      "[\\fB\\-w\\fR|\\fB\\-\\-wait\\fR \\fISECONDS\\fR] [\\fB\\-\\-config\\fR \\fIFILE\\fR]",
    ],
    [".B azure\\-proxy\\-agent \\-v\\fR|\\fB\\-V\\fR|\\fB\\-\\-version\\fR|\\fB\\-h\\fR|\\fB\\-\\-help"],
  ].flat();
  return joinBreaks([...lines, ...own, ...references]);
}

/** A line break before each but the first that names the program. */
function joinBreaks(lines: readonly string[]): string {
  return lines.map((line, i) => (i > 0 && line.startsWith(".B azure") ? `.br\n${line}\n` : `${line}\n`)).join("");
}

function renderManCommands(commands: readonly TopCommand[]): string {
  return commands.flatMap(({ specs }) => specs.map(renderManCommand)).join("");
}

function renderManCommand(spec: CommandSpec): string {
  const paragraphs = spec.about.flatMap((paragraph, i) => {
    if (!paragraph.startsWith(" ")) return [...(i === 0 ? [] : [".PP"]), roff(paragraph)];
    return [".PP", ".nf", ...paragraph.split("\n").map(roff), ".fi"];
  });
  const options = Object.entries(spec.options).flatMap(([name, option]) => [".TP", manOption(name, option), roff(option.does)]);
  const operands = spec.operands.flatMap(({ name, does }) => [".TP", `.I ${roff(name)}`, roff(does)]);
  const exits = exitsOf(spec)
    .map(([code, means]) => `${code} ${means}`)
    .join(", ");
  return `${[
    `.SS "${roff(spec.name)}"`,
    `.B ${roff(spec.name)}`,
    manSynopsis(spec),
    ".PP",
    ...paragraphs,
    ...operands,
    ...options,
    ".PP",
    roff(`Exit status: ${exits}.`),
  ]
    .filter((line) => line !== "")
    .join("\n")}\n`;
}

function manOption(name: string, option: OptionSpec): string {
  const short = option.short === undefined ? "" : `\\-${option.short}\\fR, \\fB`;
  const value = option.kind === "flag" ? "" : ` \\fI${roff(option.value)}\\fR`;
  return `\\fB${short}\\-\\-${roff(name)}\\fR${value}`;
}

function renderManExits(): string {
  return exitEntries()
    .map(([code, { means }]) => `.TP\n.B ${code}\n${roff(means)}\n`)
    .join("");
}

function exitEntries() {
  const names = Object.keys(EXIT) as readonly ExitName[];
  return names.map((name) => [EXIT[name], EXIT_MEANINGS[name]] as const).sort(([a], [b]) => a - b);
}

function renderExitTable(): string {
  const rows = exitEntries().map(([code, { means, advice }]) => `| ${code} | ${means} |${advice === "" ? "" : ` ${advice}`} |\n`);
  return `| code | means | action |\n| --- | --- | --- |\n${rows.join("")}`;
}

function renderCommandTable(commands: readonly TopCommand[]): string {
  const rows = commands.flatMap(({ specs }) =>
    specs.map((spec) => {
      const words = [spec.name, ...synopsisWords(spec)].join(" ").replaceAll("|", "\\|");
      return `| \`${words}\` | ${spec.does.replaceAll("|", "\\|")} |\n`;
    }),
  );
  return `| command | does |\n| --- | --- |\n${rows.join("")}`;
}

if (import.meta.main) {
  const root = join(import.meta.dir, "..");
  for (const { path, text } of await makeCommandDocs((each) => readFileSync(join(root, each), "utf8"))) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    console.log(`wrote ${path}`);
  }
}
