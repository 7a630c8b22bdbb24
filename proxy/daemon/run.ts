// Runs the daemon: config, log, agent, signals. Ends the process with the exit code that says why.

import { randomBytes } from "node:crypto";
import { releaseIdleMemory } from "../adapters/native/idle-memory.ts";
import { readConfigFile } from "../adapters/storage/config-file.ts";
import { err, type Result } from "../core/result.ts";
import { describeDefect } from "../core/thrown.ts";
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
  const read = readConfigFile(configPath);
  if (!read.ok) {
    process.stderr.write(`azure-proxy-agent: ${read.error.message}\n`);
    // A connection that waits in a kept socket would have us started again at once, and again.
    if (process.env.LISTEN_FDS !== undefined) await Bun.sleep(WAITED_FOR_MS);
    return fail(EXIT.config);
  }
  const { config, path, unknownKeys } = read.value;
  // Files that are made without an explicit mode are not readable by others.
  process.umask(0o027);
  const logs = openLogs(config, process.geteuid?.() ?? 0, process.env.JOURNAL_STREAM !== undefined, () => new Date());
  const { log } = logs;
  // Also where there are no files: the signal's own effect would be the end of the process.
  process.on("SIGHUP", logs.reopen);
  log.info("agent-starting", { version, config: path, pid: process.pid });
  for (const { key, nearest, position } of unknownKeys)
    log.warn("config-key-unknown", {
      key,
      config: path,
      line: position.line,
      column: position.column,
      ...(nearest === undefined ? {} : { nearest }),
    });

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
  started = await startAgent(config, {
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
    if (started.error.kind !== "held" && isRedirectLeft(config.pinFolder))
      log.error("redirect-without-agent", { pinFolder: config.pinFolder, message: WITHOUT_AGENT });
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

async function end({ log, flush }: Logs, code: number, message: string): Promise<void> {
  log.error("agent-cannot-start", { message });
  await flush();
  process.stderr.write(`azure-proxy-agent: ${message}\n`);
  fail(code);
}

function fail(code: number): void {
  process.exit(code);
}
