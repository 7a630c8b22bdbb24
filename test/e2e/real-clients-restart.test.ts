// Real clients under enforce while the agent is restarted and killed again and again, with the socket that the service manager keeps:
// they notice nothing but a wait, and nothing leaves unsigned.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { requestToken, runCloudInit, runGuestAgent } from "../support/real-clients.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { ServiceManager } from "../support/service-manager.ts";
import { CommandStage, runAgentCommand } from "../support/status-command.ts";
import { World } from "../support/world.ts";

const PAUSE_MS = 150;

let stage: CommandStage;
let manager: ServiceManager | undefined;
let world: World | undefined;
beforeAll(() => {
  requireSandbox();
  stage = new CommandStage();
});
afterAll(() => stage?.[Symbol.dispose]());
afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  manager?.[Symbol.dispose]();
  world = undefined;
  manager = undefined;
});

async function start(): Promise<{ readonly at: World; readonly manager: ServiceManager }> {
  const keeper = new ServiceManager();
  manager = keeper;
  world = await World.start({ startAgent: (configPath) => keeper.start(configPath) });
  return { at: world, manager: keeper };
}

/** Ends the agent that way and starts the next, until told to stop; gives how often. */
function restartAgain(at: World, keeper: ServiceManager, signal: "SIGTERM" | "SIGKILL"): () => Promise<number> {
  let isOver = false;
  const going = (async () => {
    let restarts = 0;
    while (!isOver) {
      at.agent.process.kill(signal);
      await at.agent.process.exited;
      await Bun.sleep(PAUSE_MS);
      at.agent = keeper.start(at.configPath);
      await at.agent.line("agent-ready");
      await Bun.sleep(PAUSE_MS);
      restarts++;
    }
    return restarts;
  })();
  return () => {
    isOver = true;
    return going;
  };
}

describe.each(["SIGTERM", "SIGKILL"] as const)("the agent is ended by %s and started again, over and over", (signal) => {
  test("cloud-init boots", async () => {
    const { at, manager: keeper } = await start();
    const stop = restartAgain(at, keeper, signal);
    const path = `${stage.folder}:/usr/sbin:/usr/bin:/sbin:/bin`;
    const outcomes = await runCloudInit(["check-agent", "metadata", "ready", "check-agent", "metadata"], path);
    expect(await stop()).toBeGreaterThan(0);
    expect(outcomes).toEqual([
      { step: "check-agent", result: [] },
      { step: "metadata", result: ["compute", "network"] },
      { step: "ready", result: true },
      { step: "check-agent", result: [] },
      { step: "metadata", result: ["compute", "network"] },
    ]);
    expect(await at.unsignedLeft()).toEqual([]);
  }, 120_000);

  test("waagent gets its goal state, reports health and reads vmSettings", async () => {
    const { at, manager: keeper } = await start();
    const stop = restartAgain(at, keeper, signal);
    const outcomes = await runGuestAgent("goal-state", "health", "vm-settings", "compute");
    expect(await stop()).toBeGreaterThan(0);
    // Read with a single try, so a connection that dies with a killed agent is an error there, told as such.
    const steps = signal === "SIGKILL" ? outcomes.filter(({ step }) => step !== "vm-settings") : outcomes;
    expect(steps.map(({ step, error }) => [step, error])).toEqual(steps.map(({ step }) => [step, undefined]));
    expect(await at.unsignedLeft()).toEqual([]);
  }, 120_000);

  test("@azure/identity gets tokens", async () => {
    const { at, manager: keeper } = await start();
    const stop = restartAgain(at, keeper, signal);
    for (let i = 0; i < 4; i++) expect((await requestToken(process.execPath)).error).toBeUndefined();
    expect(await stop()).toBeGreaterThan(0);
    expect(await at.unsignedLeft()).toEqual([]);
  }, 120_000);

  test("--status --wait answers 0 each time", async () => {
    const { at, manager: keeper } = await start();
    const stop = restartAgain(at, keeper, signal);
    for (let i = 0; i < 10; i++) {
      const run = await runAgentCommand(["--status", "--wait", "30"]);
      expect([run.code, run.stdout]).toEqual([0, ""]);
      await Bun.sleep(PAUSE_MS);
    }
    expect(await stop()).toBeGreaterThan(0);
  }, 120_000);
});
