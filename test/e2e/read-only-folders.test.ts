// Everything the agent writes to is read-only: it says so, each time in words of its own, keeps no key that it cannot keep on disk, and
// comes up and goes down all the same.

import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { requireSandbox } from "../support/sandbox.ts";
import { runAgentCommand } from "../support/status-command.ts";
import { AgentProcess, runProgram, World } from "../support/world.ts";

test("read-only keys, status, logs, events, trail and metrics: told, not a defect, and it stops in order", async () => {
  requireSandbox();
  await using world = await World.start();
  await world.agent.stop();
  const folder = join(world.folder, "read-only");
  mkdirSync(folder);
  expect((await runProgram(["mount", "-t", "tmpfs", "-o", "ro", "none", folder])).code).toBe(0);
  try {
    const config = {
      ...JSON.parse(readFileSync(world.configPath, "utf8")),
      latchKeyFolder: join(folder, "keys"),
      statusFolder: folder,
      logFolder: join(folder, "log"),
      eventFolder: join(folder, "events"),
      auditFolder: join(folder, "audit"),
      metricsSocket: join(folder, "metrics.sock"),
      metricsTextfile: join(folder, "agent.prom"),
    };
    const configPath = join(world.folder, "read-only.json");
    writeFileSync(configPath, JSON.stringify(config));
    const agent = new AgentProcess(configPath);
    for (const event of ["agent-ready", "trail-failing", "metrics-not-served", "metrics-textfile-not-written", "status-not-written"])
      await agent.line(event);
    const status = await runAgentCommand(["--status"]);
    expect([status.code, status.stdout]).toEqual([1, expect.stringMatching(/^not ready: keyLatchStatus - /)]);
    expect(await agent.stop()).toBe(0);
    expect(agent.lines.filter(({ event }) => event === "internal-error" || event === "unreadable")).toEqual([]);
    expect(agent.lines.at(-1)?.event).toBe("agent-stopped");
  } finally {
    await runProgram(["umount", folder]);
  }
}, 30_000);
