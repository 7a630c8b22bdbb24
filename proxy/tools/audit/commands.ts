// `azure-proxy-agent audit …`: tools that read the decision trail. They change nothing and work while the agent writes.

import { readFileSync } from "node:fs";
import { findConfig } from "../../adapters/storage/find-config.ts";
import { parseConfig } from "../../core/config.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { EXIT } from "../../exit-code.ts";
import { type AuditOptions, refuseAuditUsage, USAGE } from "./options.ts";

/** Where the package has it. */
const DEFAULT_FOLDER = "/var/lib/azure-proxy-agent/audit";

type Tool = (options: AuditOptions) => number | Promise<number>;

const TOOLS: Readonly<Record<string, { readonly values: readonly string[]; readonly flags: readonly string[]; load(): Promise<Tool> }>> = {
  verify: { values: ["--anchor", "--journal"], flags: ["--json"], load: async () => (await import("./audit-verify.ts")).auditVerify },
  tail: { values: ["-n"], flags: ["--follow", "-f"], load: async () => (await import("./audit-tail.ts")).auditTail },
  export: { values: ["--first", "--last"], flags: [], load: async () => (await import("./audit-export.ts")).auditExport },
};

export async function audit(argv: readonly string[]): Promise<number> {
  const [word = "", ...rest] = argv;
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(USAGE);
    return EXIT.ok;
  }
  const tool = Object.hasOwn(TOOLS, word) ? TOOLS[word] : undefined;
  if (tool === undefined) return refuseAuditUsage(word === "" ? "audit wants a tool" : `unknown tool "${word}"`);
  const values = readOptions(rest, [...tool.values, "--folder", "--config"], tool.flags);
  if (!values.ok) return refuseAuditUsage(values.error);
  const folder = values.value.get("--folder")?.at(-1) ?? findFolder(values.value.get("--config")?.at(-1));
  return (await tool.load())({ folder, values: values.value });
}

function readOptions(
  argv: readonly string[],
  values: readonly string[],
  flags: readonly string[],
): Result<ReadonlyMap<string, readonly string[]>, string> {
  const found = new Map<string, readonly string[]>();
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (flags.includes(word)) {
      found.set(word, []);
      continue;
    }
    if (!values.includes(word)) return err(`unknown argument "${word}"`);
    const value = argv[++i];
    if (value === undefined || value === "") return err(`${word} wants a value`);
    found.set(word, [...(found.get(word) ?? []), value]);
  }
  return ok(found);
}

function findFolder(configPath: string | undefined): string {
  const path = configPath ?? findConfig();
  try {
    const parsed = parseConfig(readFileSync(path, "utf8"), process.env);
    if (parsed.ok && parsed.value.config.auditFolder !== "") return parsed.value.config.auditFolder;
  } catch {
    // No config that may be read: the usual place.
  }
  return DEFAULT_FOLDER;
}
