// Runs the daemon: config, log, agent, signals. Ends the process with the exit code that says why.

import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { releaseIdleMemory } from "../adapters/native/idle-memory.ts";
import { startAgent } from "../agent/agent.ts";
import { type Config, DEFAULT_CONFIG_PATH, parseConfig, renderConfigError } from "../agent/config.ts";
import { type Logs, openLogs } from "../agent/log-outputs.ts";
import { compileItemCommand } from "./compile-command.ts";
import { whenEnterIsPressed } from "./console.ts";
import { EXIT } from "./exit-code.ts";

/** By then the first rules are in force and the key is latched, if the host is there. */
const SETTLED_MS = 1_500;

/** @param isConsole - also ends when Enter is pressed or standard input ends */
export async function run(version: string, configPath: string | undefined, isConsole: boolean): Promise<void> {
  const path = configPath ?? findConfig();
  const loaded = loadConfig(path);
  if (loaded === undefined) return fail(EXIT.config);
  // Files that are made without an explicit mode are nobody else's business.
  process.umask(0o027);
  const logs = openLogs(loaded.config, process.geteuid?.() ?? 0, process.env.JOURNAL_STREAM !== undefined, () => new Date());
  const { log } = logs;
  // Also where there are no files: the signal's own effect would be the end of the process.
  process.on("SIGHUP", logs.reopen);
  log.info("agent-starting", { version, config: path, pid: process.pid });
  for (const key of loaded.unknownKeys) log.warn("config-key-unknown", { key, config: path });

  // A bug in one request must not end the others; it is told loudly and the process stays up.
  process.on("uncaughtException", (error) =>
    log.error("internal-error", { where: "uncaught exception", message: error.stack ?? error.message }),
  );
  process.on("unhandledRejection", (reason) =>
    log.error("internal-error", {
      where: "unhandled rejection",
      message: reason instanceof Error ? (reason.stack ?? reason.message) : String(reason),
    }),
  );

  if (process.geteuid?.() !== 0)
    return end(logs, EXIT.capability, `cannot run: the agent needs root, found uid ${String(process.geteuid?.())}`);
  const started = await startAgent(loaded.config, {
    version,
    executablePath: process.execPath,
    compileCommand: compileItemCommand(),
    log,
    logLinesDropped: logs.dropped,
    runId: randomBytes(4).toString("hex"),
  });
  if (!started.ok) return end(logs, started.error.kind === "listener" ? EXIT.temporary : EXIT.capability, started.error.message);

  setTimeout(releaseIdleMemory, SETTLED_MS).unref();

  const stop = (signal: string) => {
    log.info("agent-stopping", { signal });
    void started.value.stop().then(async () => {
      log.info("agent-stopped", { signal });
      await logs.flush();
      process.exit(EXIT.ok);
    });
  };
  process.once("SIGTERM", () => stop("SIGTERM"));
  process.once("SIGINT", () => stop("SIGINT"));
  if (isConsole) whenEnterIsPressed(() => stop("console"));
}

function findConfig(): string {
  const beside = join(dirname(process.execPath), "proxy-agent.json");
  return !existsSync(DEFAULT_CONFIG_PATH) && existsSync(beside) ? beside : DEFAULT_CONFIG_PATH;
}

function loadConfig(path: string): { readonly config: Config; readonly unknownKeys: readonly string[] } | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    process.stderr.write(`azure-proxy-agent: cannot read config "${path}": ${error instanceof Error ? error.message : String(error)}\n`);
    return undefined;
  }
  const parsed = parseConfig(text, process.env);
  if (parsed.ok) return parsed.value;
  process.stderr.write(`azure-proxy-agent: ${renderConfigError(path, parsed.error)}\n`);
  return undefined;
}

async function end({ log, flush }: Logs, code: number, message: string): Promise<void> {
  log.error("agent-cannot-start", { message });
  await flush();
  process.stderr.write(`azure-proxy-agent: ${message}\n`);
  fail(code);
}

function fail(code: number): void {
  process.exit(code);
}
