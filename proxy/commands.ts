// The table of all commands: by its first word, each command or group, and where its code is. What only one command needs is loaded only
// for it, so that the daemon starts fast and --version loads neither eBPF nor policy code.

import { EXIT } from "./exit-code.ts";
import { type Command, type Commands, command } from "./tools/command-line/command.ts";
import { CONFIG_OPTION, type CommandSpec, type Given } from "./tools/command-line/spec.ts";
import { STATUS, WAIT_OPTION } from "./tools/status/table.ts";
import { VERSION } from "./version.ts";

/** Commands under one word, such as `policy`. */
export interface Group {
  /** For the list of commands. */
  readonly does: string;
  readonly commands: Commands;
  /** Paragraphs below the list of its commands. */
  readonly notes: readonly string[];
}

export type Entry = { readonly kind: "command"; readonly command: Command } | { readonly kind: "group"; readonly group: Group };

const DAEMON_EXITS = [["ok", "ended by a signal"], "software", "temporary", "capability", "config"] as const;

export const RUN = {
  name: "run",
  does: "run the agent in the foreground, as its unit does",
  about: [
    "Runs the agent in the foreground until SIGTERM or SIGINT. Needs root. SIGHUP reopens its log files. The units azure-proxy-agent.service and azure-proxy-agent.socket run it so; the same without the word run, when --config is given or a service manager starts it.",
  ],
  options: CONFIG_OPTION,
  operands: [],
  exits: DAEMON_EXITS,
} as const satisfies CommandSpec;

export const CONSOLE = {
  name: "console",
  does: "the same, until Enter is pressed or standard input ends",
  about: ["Runs the agent until a line is entered, standard input ends or a signal comes, for trying it by hand. Needs root."],
  options: CONFIG_OPTION,
  operands: [],
  exits: [["ok", "ended by Enter or a signal"], "software", "temporary", "capability", "config"],
} as const satisfies CommandSpec;

/** The reference's own form: options without a command. */
export const ROOT = {
  name: "",
  does: "the reference's form of run and status",
  about: [],
  options: { ...CONFIG_OPTION, status: { kind: "flag", short: "s", does: "as the command status" }, ...WAIT_OPTION },
  operands: [],
  exits: [],
} as const satisfies CommandSpec;

export const ENTRIES: Readonly<Record<string, () => Promise<Entry>>> = {
  run: async () =>
    single(
      command(
        RUN,
        async () =>
          ({ options }) =>
            runDaemon(options.config, false),
      ),
    ),
  console: async () =>
    single(
      command(
        CONSOLE,
        async () =>
          ({ options }) =>
            runDaemon(options.config, true),
      ),
    ),
  status: async () =>
    single(
      command(
        STATUS,
        async () =>
          ({ options }) =>
            askStatus(options),
      ),
    ),
  doctor: async () =>
    single(command((await import("./tools/doctor/table.ts")).DOCTOR, async () => (await import("./tools/doctor/doctor.ts")).doctor)),
  release: async () =>
    single(command((await import("./tools/release-table.ts")).RELEASE, async () => (await import("./tools/release.ts")).release)),
  report: async () =>
    single(command((await import("./tools/report/table.ts")).REPORT, async () => (await import("./tools/report/report.ts")).report)),
  audit: async () =>
    group({
      does: "verify, show and export the decision trail",
      commands: (await import("./tools/audit/commands.ts")).AUDIT_COMMANDS,
      notes: [
        "They read the decision trail: one record for each decision, chained by hashes. They change nothing and work while the agent writes.",
      ],
    }),
  policy: async () =>
    group({
      does: "check, explain, test, compare, compile and suggest rules",
      commands: (await import("./tools/policy/commands.ts")).POLICY_COMMANDS,
      notes: ["None of them needs root, the daemon or the network."],
    }),
  module: async () =>
    group({
      does: "add, list, change and try policy modules",
      commands: (await import("./tools/module/commands.ts")).moduleCommands(ensureEngine),
      notes: [
        "Commands that read or change what is installed need root. The others, and test, run, bench and inspect of a component file, need neither root nor the daemon.",
      ],
    }),
};

function single(one: Command): Entry {
  return { kind: "command", command: one };
}

function group(one: Group): Entry {
  return { kind: "group", group: one };
}

/** The same for `status` and for `--status`. Ends the process. */
export async function askStatus({ wait, config }: Given<typeof STATUS.options>["options"]): Promise<number> {
  const { status } = await import("./tools/status/status.ts");
  return status(wait ?? 0, config);
}

/** Modules of strangers are compiled only by an engine whose memory is bounded. */
async function ensureEngine(): Promise<void> {
  const { ensureEngineOptions } = await import("./adapters/native/engine-options.ts");
  const ensured = ensureEngineOptions();
  if (ensured.ok) return;
  process.stderr.write(`azure-proxy-agent: ${ensured.error}\n`);
  process.exit(EXIT.capability);
}

/** Starts the daemon, and returns once it runs; a start that fails ends the process. */
export async function runDaemon(configPath: string | undefined, isConsole: boolean): Promise<number> {
  await ensureEngine();
  const { widenThreadPool } = await import("./adapters/native/thread-pool.ts");
  // Before anything uses the pool: its size is read once.
  widenThreadPool();
  const { run } = await import("./daemon/run.ts");
  await run(VERSION, configPath, isConsole);
  return 0;
}
