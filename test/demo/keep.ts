// `scripts/demo --keep`: the same set-up, then a shell inside the sandbox with the agent running, and a note on what to try.

import { appendFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isatty } from "node:tty";
import type { World } from "../support/world.ts";
import { GOAL_STATE, INSTANCE } from "./requests.ts";
import type { Screen } from "./screen.ts";
import { until } from "./stage.ts";

/**
 * @param logPath - gets the agent's lines
 * @returns exit code: the shell's own when its commands came from a file or pipe, otherwise 0
 */
export async function openShell(
  screen: Screen,
  logPath: string,
  startWorld: (onAgentLine: (text: string) => void) => Promise<World>,
): Promise<number> {
  writeFileSync(logPath, "");
  const world = await startWorld((text) => appendFileSync(logPath, `${text}\n`));
  const places = {
    DEMO_LOG: logPath,
    DEMO_CONFIG: world.configPath,
    DEMO_STATUS: join(world.folder, "status", "status.json"),
    DEMO_HOST: join(world.folder, "control.sock"),
  };
  // The status is written shortly after whatever changed.
  await until(() => existsSync(places.DEMO_STATUS) || undefined);
  tellNote(screen, places);
  const onTerminal = isatty(0);
  if (!onTerminal) screen.fact("note", "standard input is no terminal: commands are read from it until it ends");
  screen.blank();
  const shell = Bun.spawn(onTerminal ? ["bash", "--norc", "-i"] : ["bash"], {
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
    cwd: "/",
    // Proxies of the machine outside must not be asked for addresses that exist only in here.
    env: { ...process.env, ...places, no_proxy: "*", NO_PROXY: "*", PS1: "demo# " },
  });
  const code = await shell.exited;
  return onTerminal ? 0 : code;
}

function tellNote(screen: Screen, places: Readonly<Record<string, string>>): void {
  screen.heading("Try it", "You are root in the sandbox. When this shell ends, everything is removed.");
  const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  screen.fact("ask", "as root, as nobody, and where nobody is not let in:");
  screen.command("demo#", ["curl", "-i", "-H", "Metadata: true", INSTANCE]);
  screen.command("demo#", [...asNobody, "curl", "-i", "-H", "Metadata: true", INSTANCE]);
  screen.command("demo#", [...asNobody, "curl", "-i", GOAL_STATE]);
  screen.blank();
  screen.fact("look", "what the agent says, and how it is:");
  screen.row('tail -f "$DEMO_LOG"');
  screen.row('cat "$DEMO_STATUS" "$DEMO_CONFIG"');
  screen.row("curl -s -H 'Metadata: true' http://169.254.169.254/gpa-aggregated-status");
  screen.blank();
  screen.fact("steer", "the simulated host (all of it: host-simulator/README.md):");
  const steer: readonly (readonly [path: string, body?: string])[] = [
    ["requests?limit=1"],
    ["config", '{"rules": {"imds": {"mode": "enforce", "defaultAccess": "deny"}}}'],
    ["config", '{"imds": "audit"}'],
    ["new-incarnation", ""],
    ["faults", '{"kind": "status", "status": 429, "endpoint": "imds", "count": 1}'],
  ];
  for (const [path, body] of steer) {
    screen.row(`curl -s --unix-socket "$DEMO_HOST" http://host/${path}${body === undefined ? "" : " \\"}`);
    if (body !== undefined) screen.row(`    -d '${body}'`);
  }
  screen.blank();
  for (const [name, path] of Object.entries(places)) screen.row(`${`$${name}`.padEnd(13)} ${path}`);
}
