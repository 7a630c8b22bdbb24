// The program: reads the command line and the config, then runs the agent until SIGTERM or SIGINT.
// What only the daemon needs is imported only there, so that --version and --help start fast and load neither eBPF nor policy code.

import { COMPILE_ITEM_COMMAND, HASH_FILES_COMMAND } from "./daemon/own-command.ts";
import { EXIT } from "./exit-code.ts";
import { type Command, parseArguments } from "./tools/arguments.ts";
import { VERSION } from "./version.ts";

const USAGE = `azure-proxy-agent: identifies, authorizes and endorses requests to Azure's metadata services

  azure-proxy-agent [--config FILE]   run in the foreground (default config: /etc/azure/proxy-agent.json)
  azure-proxy-agent console [--config FILE]
                                      the same, until Enter is pressed or standard input ends
  azure-proxy-agent --status [--wait SECONDS] [--config FILE]
                                      is the agent ready? With --wait, asked again for that long (-s, -w)
  azure-proxy-agent doctor [OPTION]   what is missing or wrong on this machine, and what to do (doctor --help)
  azure-proxy-agent release           take off the redirect that a stopped agent left in place (release --help)
  azure-proxy-agent report [OPTION]   what rules deny, or would deny under enforce (report --help)
  azure-proxy-agent audit TOOL        verify, show and export the decision trail (audit --help)
  azure-proxy-agent policy TOOL       check, explain, test, compare, compile and suggest rules (policy --help)
  azure-proxy-agent module TOOL       add, list, change and try policy modules (module --help)
  azure-proxy-agent --version         print the version and nothing else (-v)
  azure-proxy-agent --help            print this text (-h)

Exit codes: 0 ended by a signal, 64 usage, 75 port taken, 77 capability missing (root, cgroup2, eBPF, libbpf1), 78 bad config
Of --status: 0 ready, 1 not in time, 2 finished with an error; the reason is one line on standard output
`;

type Tool = (argv: readonly string[]) => number | Promise<number>;

/** The commands beside the daemon, by their first word; each loads only its own code. They give their exit code. */
const TOOLS: Readonly<Record<string, () => Promise<Tool>>> = {
  doctor: async () => (await import("./tools/doctor/doctor.ts")).doctor,
  release: async () => (await import("./tools/release.ts")).release,
  report: async () => (await import("./tools/report/report.ts")).report,
  audit: async () => (await import("./tools/audit/commands.ts")).audit,
  policy: async () => (await import("./tools/policy/commands.ts")).policy,
  module: async () => {
    await ensureEngine();
    return (await import("./tools/module/commands.ts")).module;
  },
  [COMPILE_ITEM_COMMAND]: async () => (await import("./daemon/compile-item.ts")).compileItemForDaemon,
  [HASH_FILES_COMMAND]: async () => (await import("./daemon/hash-files.ts")).hashFilesForDaemon,
};

if (import.meta.main) {
  const argv = process.argv.slice(2);
  const [word = ""] = argv;
  const loadTool = Object.hasOwn(TOOLS, word) ? TOOLS[word] : undefined;
  const command: Command | Tool = loadTool === undefined ? parseArguments(argv) : await loadTool();
  if (typeof command === "function") {
    // Not exit(): what was written to a pipe must still arrive.
    process.exitCode = await command(argv.slice(1));
  } else {
    await runCommand(command);
  }
}

/** Modules of strangers are compiled only by an engine whose memory is bounded. */
async function ensureEngine(): Promise<void> {
  const { ensureEngineOptions } = await import("./adapters/native/engine-options.ts");
  const ensured = ensureEngineOptions();
  if (ensured.ok) return;
  process.stderr.write(`azure-proxy-agent: ${ensured.error}\n`);
  process.exit(EXIT.capability);
}

async function runCommand(command: Command): Promise<void> {
  switch (command.kind) {
    case "version":
      process.stdout.write(`${VERSION}\n`);
      break;
    case "help":
      process.stdout.write(USAGE);
      break;
    case "bad":
      process.stderr.write(`azure-proxy-agent: ${command.message}\n\n${USAGE}`);
      process.exitCode = EXIT.usage;
      break;
    case "status": {
      const { status } = await import("./tools/status/status.ts");
      await status(command.waitSeconds, command.configPath);
      break;
    }
    case "run": {
      await ensureEngine();
      const { widenThreadPool } = await import("./adapters/native/thread-pool.ts");
      // Before anything uses the pool: its size is read once.
      widenThreadPool();
      const { run } = await import("./daemon/run.ts");
      await run(VERSION, command.configPath, command.console);
    }
  }
}
