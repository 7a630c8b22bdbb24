// The demo as a program, run by scripts/demo inside scripts/sandbox. Shows the agent at work and checks what it shows.
// Exit code 0 only when every promise was kept. Leaves nothing: what it starts ends with it, its files are in one folder.

import { mkdtempSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isatty } from "node:tty";
import { World } from "../support/world.ts";
import { showAttacks } from "./attacks.ts";
import { showFaults } from "./faults.ts";
import { openShell } from "./keep.ts";
import { showModules } from "./modules.ts";
import { showRules } from "./rules.ts";
import { Screen } from "./screen.ts";
import { showOrdinaryPrograms, showWithoutAgent, tellAgentStart, tellSetUp } from "./set-up.ts";
import { BrokenPromise, Stage } from "./stage.ts";
import { showStop, showSummary } from "./summary.ts";

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/** How long agent and host may take to end after a signal; the sandbox ends what is left. */
const STOP_LIMIT_MS = 3_000;

const OPEN = { id: "demo-open", mode: "enforce", defaultAccess: "allow" };
const HOST = { rules: { imds: OPEN, wireserver: OPEN } };

const startedMs = performance.now();
const colours = isatty(1) && process.env.NO_COLOR === undefined && process.env.TERM !== "dumb";
// After a signal the part that was running goes on for a moment; nobody wants to read it.
const screen = new Screen(colours, (text) => (interrupted ? undefined : writeOut(text)));
const folder = mkdtempSync(join(tmpdir(), "azure-proxy-agent-demo-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
// Everything that is made on the way lands there.
process.env.TMPDIR = folder;

let world: World | undefined;
let interrupted = false;
// Never `once`: Ctrl-C comes twice, from the terminal and through the sandbox, and the second must not end us on the spot.
for (const [signal, code] of Object.entries(SIGNALS)) process.on(signal, () => void endBySignal(signal, code));

async function endBySignal(signal: string, code: number): Promise<void> {
  if (interrupted) return;
  screen.broken(`demo: ended by ${signal}`);
  interrupted = true;
  await Promise.race([endWorld(), Bun.sleep(STOP_LIMIT_MS)]);
  process.exit(code);
}

async function endWorld(): Promise<void> {
  const ending = world;
  world = undefined;
  if (ending === undefined) return;
  // It may have been stopped for an attack just now.
  if (ending.agent.process.exitCode === null) process.kill(ending.agent.pid, "SIGCONT");
  await ending[Symbol.asyncDispose]();
}

async function demo(): Promise<void> {
  tellSetUp(screen);
  let kept = 0;
  let lastBefore = 0;
  world = await World.start({
    host: HOST,
    beforeAgent: async (host) => {
      kept += (await showWithoutAgent(screen, host)).kept;
      lastBefore = (await host.requests({ limit: 1 }))[0]?.id ?? 0;
    },
  });
  const stage = new Stage(screen, world.host, world.agent);
  await showOrdinaryPrograms(stage);
  await showRules(stage);
  await showModules(stage, folder, world.configPath);
  await showAttacks(stage);
  await showFaults(stage);
  await showSummary(stage, lastBefore);
  kept += await showStop(stage);
  await endWorld();
  screen.blank();
  screen.fact("demo", `${kept + stage.kept} promises kept in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`, "green");
}

async function keep(): Promise<number> {
  tellSetUp(screen);
  const log = join(folder, "agent.log");
  const kept = await openShell(screen, log, async (onAgentLine) => {
    world = await World.start({ host: HOST, onAgentLine });
    await tellAgentStart(screen, world.agent);
    return world;
  });
  await endWorld();
  return kept;
}

/** At once and whole: the process may be ended right after a line. A reader that is gone does not end the demo's clean-up. */
function writeOut(text: string): void {
  let rest = Buffer.from(text, "utf8");
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) return;
      Bun.sleepSync(5);
    }
  }
}

try {
  if (process.env.SANDBOX_CGROUP === undefined) throw new Error("this runs inside a sandbox; start it as root with ./scripts/demo");
  const code = process.argv.includes("--keep") ? await keep() : await demo().then(() => 0);
  if (!interrupted) process.exit(code);
} catch (error) {
  // After a signal everything fails, and the reader knows why already.
  if (!interrupted) {
    screen.broken(`demo: ${error instanceof Error ? error.message : String(error)}`);
    if (!(error instanceof BrokenPromise) && error instanceof Error && world !== undefined) screen.broken(error.stack ?? "");
    const lastLines = world?.agent.lines.slice(-5).map(({ event, fields }) => `${event} ${JSON.stringify(fields)}`);
    if (lastLines !== undefined) screen.broken(`the agent's last lines:\n${lastLines.join("\n")}`);
    await Promise.race([endWorld(), Bun.sleep(STOP_LIMIT_MS)]);
    process.exit(1);
  }
}
