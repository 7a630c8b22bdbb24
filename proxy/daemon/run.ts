// Runs the daemon: config, log, agent, signals. Ends the process with the exit code that says why.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { releaseIdleMemory } from "../adapters/native/idle-memory.ts";
import { findConfig } from "../adapters/storage/find-config.ts";
import { type Config, parseConfig, renderConfigError } from "../core/config.ts";
import { err, type Result } from "../core/result.ts";
import { describeDefect, describeError } from "../core/thrown.ts";
import { EXIT } from "../exit-code.ts";
import { type RunningAgent, startAgent } from "./agent.ts";
import { whenEnterIsPressed } from "./console.ts";
import { type Logs, openLogs } from "./observe/log-outputs.ts";
import { COMPILE_ITEM_COMMAND, HASH_FILES_COMMAND, ownCommand } from "./own-command.ts";
import { isRedirectLeft } from "./redirect/takeover.ts";

const EXIT_FOR = { listener: EXIT.temporary, held: EXIT.temporary, capability: EXIT.capability, defect: EXIT.software } as const;
const WITHOUT_AGENT =
  "the redirect of an earlier agent stays in effect: what it guards answers nobody until an agent starts, or azure-proxy-agent release takes it off";
const WAITED_FOR_MS = 2_000;

/** By then the first rules are active and the key is latched, if the host answers. */
const SETTLED_MS = 1_500;

/** @param isConsole - also ends when Enter is pressed or standard input ends */
export async function run(version: string, configPath: string | undefined, isConsole: boolean): Promise<void> {
  const path = configPath ?? findConfig();
  const loaded = loadConfig(path);
  if (loaded === undefined) {
    // A connection that waits in a kept socket would have us started again at once, and again.
    if (process.env.LISTEN_FDS !== undefined) await Bun.sleep(WAITED_FOR_MS);
    return fail(EXIT.config);
  }
  // Files that are made without an explicit mode are not readable by others.
  process.umask(0o027);
  const logs = openLogs(loaded.config, process.geteuid?.() ?? 0, process.env.JOURNAL_STREAM !== undefined, () => new Date());
  const { log } = logs;
  // Also where there are no files: the signal's own effect would be the end of the process.
  process.on("SIGHUP", logs.reopen);
  log.info("agent-starting", { version, config: path, pid: process.pid });
  for (const key of loaded.unknownKeys) log.warn("config-key-unknown", { key, config: path });

  // A bug in one request must not end the others; it is logged and the process stays up.
  process.on("uncaughtException", (error) =>
    log.error("internal-error", { where: "uncaught exception", message: error.stack ?? error.message }),
  );
  process.on("unhandledRejection", (reason) =>
    log.error("internal-error", {
      where: "unhandled rejection",
      message: describeDefect(reason),
    }),
  );

  if (process.geteuid?.() !== 0)
    return end(logs, EXIT.capability, `cannot run: the agent needs root, found uid ${String(process.geteuid?.())}`);
  let started: Result<RunningAgent, { readonly kind: keyof typeof EXIT_FOR; readonly message: string }> | undefined;
  let cause: string | undefined;
  const stopOnce = () => {
    if (cause !== undefined && started?.ok === true) void stopAgent(started.value, cause, logs);
  };
  const stop = (signal: string) => {
    if (cause !== undefined) return;
    // Before it is up it must come up first: what it took over must be handed on in good order.
    cause = signal;
    stopOnce();
  };
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
  started = await startAgent(loaded.config, {
    version,
    executablePath: process.execPath,
    compileCommand: ownCommand(COMPILE_ITEM_COMMAND),
    hashCommand: ownCommand(HASH_FILES_COMMAND),
    log,
    addLogOutput: logs.add,
    logLinesDropped: logs.dropped,
    runId: randomBytes(4).toString("hex"),
  }).catch((error: unknown) => err({ kind: "defect" as const, message: describeDefect(error) }));
  if (!started.ok) {
    // Failing closed is right, but the operator must know.
    if (started.error.kind !== "held" && isRedirectLeft(loaded.config.pinFolder))
      log.error("redirect-without-agent", { pinFolder: loaded.config.pinFolder, message: WITHOUT_AGENT });
    return end(logs, EXIT_FOR[started.error.kind], started.error.message);
  }

  setTimeout(releaseIdleMemory, SETTLED_MS).unref();

  if (isConsole) whenEnterIsPressed(() => stop("console"));
  stopOnce();
}

async function stopAgent(agent: RunningAgent, signal: string, { log, flush }: Logs): Promise<void> {
  log.info("agent-stopping", { signal });
  await agent.stop();
  log.info("agent-stopped", { signal });
  await flush();
  process.exit(EXIT.ok);
}

function loadConfig(path: string): { readonly config: Config; readonly unknownKeys: readonly string[] } | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    process.stderr.write(`azure-proxy-agent: cannot read config "${path}": ${describeError(error)}\n`);
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
