// The accept queue: as long as the socket unit asks for, whoever listens on the socket after that. Connections wait in it while the
// agent is stopped, or away.

import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AttackedWorld, IMDS, NOBODY } from "../../support/attacked-world.ts";
import { startAsUnit } from "../../support/unit-agent.ts";
import { runProgram } from "../../support/world.ts";

const UNIT = readFileSync(join(import.meta.dir, "../../../debian/azure-proxy-agent.socket"), "utf8");
const BACKLOG = Number(/^Backlog=([0-9]+)$/m.exec(UNIT)?.[1]);
const CONNECTS = 1_000;
let at: AttackedWorld;
afterEach(() => at[Symbol.asyncDispose]());

/** Limit of the accept queue as the kernel has it. */
async function backlog(): Promise<number> {
  const { stdout } = await runProgram(["ss", "-Hltn", "sport", "=", ":3080"]);
  return Number(stdout.trim().split(/\s+/)[2]);
}

test("T-181: the backlog is what the unit asks for, after each start, and a thousand connects wait in it", async () => {
  at = await AttackedWorld.start(["connector"]);
  const wanted = Math.min(BACKLOG, Number(readFileSync("/proc/sys/net/core/somaxconn", "utf8")));
  expect(wanted).toBeGreaterThan(CONNECTS);
  expect(await backlog()).toBe(wanted);
  await at.world.agent.stop();
  expect(await backlog()).toBe(wanted);
  at.world.agent = startAsUnit(at.world.configPath, at.manager);
  await at.world.agent.line("agent-ready");
  expect(await backlog()).toBe(wanted);

  process.kill(at.world.agent.pid, "SIGSTOP");
  const path = "/metadata/instance?api-version=2021-02-01";
  const waiting = await at.helpers.start("connector", { uid: NOBODY, to: IMDS, path, tag: "waits", mode: "plain", count: CONNECTS });
  await waiting.ask("send");
  expect(await waiting.ask("count")).toEqual({ connected: CONNECTS, pending: 0 });
  process.kill(at.world.agent.pid, "SIGCONT");
  expect(await waiting.ask("read 30")).toEqual({ "200": CONNECTS });
}, 90_000);
