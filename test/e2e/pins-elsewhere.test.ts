// The built agent after its pin folder was given another name: with every right, and with the unit's, which lack CAP_SYS_ADMIN and so the
// kernel's lists; the unit's ExecStopPost has it. Needs root and the sandbox.

import { afterEach, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { attachedPrograms } from "../support/attached-programs.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { AGENT, AgentProcess, curl, IMDS_INSTANCE, runProgram, World } from "../support/world.ts";

const sandbox = requireSandbox();
const WITHOUT_LISTS = ["setpriv", "--bounding-set", "-sys_admin"];
const ENVIRONMENT = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
let world: World | undefined;
afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

/** An agent that was killed: its redirect stays, pinned in `old`; the config names `next`. */
async function leaveElsewhere(): Promise<{ readonly at: World; readonly old: string; readonly next: string }> {
  const at = await World.start();
  world = at;
  const config = JSON.parse(readFileSync(at.configPath, "utf8")) as { readonly pinFolder: string };
  const old = config.pinFolder;
  const next = `${old}-next`;
  at.agent.process.kill("SIGKILL");
  await at.agent.process.exited;
  writeFileSync(at.configPath, JSON.stringify({ ...config, pinFolder: next }));
  expect([attachedPrograms(sandbox.cgroupPath).length, existsSync(old)]).toEqual([5, true]);
  return { at, old, next };
}

async function release(at: World, ...argv: string[]): ReturnType<typeof runProgram> {
  return runProgram([AGENT, "release", "--config", at.configPath, ...argv]);
}

test("T-191: a new agent takes them over, and release ends it all", async () => {
  const { at, old, next } = await leaveElsewhere();
  expect((await release(at, "--list")).stdout).toContain(`pin ${old}/`);
  at.agent = new AgentProcess(at.configPath);
  await at.awaitRedirect(["wireserver", "hostga", "imds"]);
  expect(await at.agent.line("redirector-ready")).toMatchObject({ takeover: "same-layout" });
  expect((await curl(IMDS_INSTANCE)).status).toBe(200);
  expect([existsSync(old), existsSync(next)]).toEqual([false, true]);
  const busy = await release(at);
  expect([busy.code, busy.stderr]).toEqual([75, expect.stringContaining("another azure-proxy-agent runs")]);
  at.agent.process.kill("SIGKILL");
  await at.agent.process.exited;
  expect(await release(at)).toMatchObject({ code: 0, stderr: expect.stringContaining("the redirect is off") });
  expect(attachedPrograms(sandbox.cgroupPath)).toEqual([]);
  // Agents of other sandboxes may run on this kernel.
  expect((await release(at, "--list")).stdout).not.toContain(sandbox.cgroupPath);
  // Straight to the host, which refuses it unsigned.
  expect((await curl(IMDS_INSTANCE)).status).toBe(401);
});

test("T-191: release with another config finds them, and refuses while their agent runs", async () => {
  world = await World.start();
  const config = JSON.parse(readFileSync(world.configPath, "utf8")) as { readonly pinFolder: string };
  const otherPath = `${world.configPath}-other`;
  writeFileSync(otherPath, JSON.stringify({ ...config, pinFolder: "" }));
  const refused = await runProgram([AGENT, "release", "--config", otherPath]);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining(`runs as process ${world.agent.pid}`)]);
  expect((await curl(IMDS_INSTANCE)).status).toBe(200);
  world.agent.process.kill("SIGKILL");
  await world.agent.process.exited;
  expect(await runProgram([AGENT, "release", "--config", otherPath])).toMatchObject({
    code: 0,
    stderr: expect.stringContaining("the redirect is off"),
  });
  expect([attachedPrograms(sandbox.cgroupPath), existsSync(config.pinFolder)]).toEqual([[], false]);
});

test("T-191: under the unit's rights, what runs between two agents brings them together", async () => {
  const { at, old, next } = await leaveElsewhere();
  // As ExecStopPost of the unit after a crash or for a restart: no job stops the service for good here.
  expect(await release(at, "--after-stop")).toMatchObject({ code: 0, stderr: expect.stringContaining("the next agent takes it over") });
  expect([existsSync(old), existsSync(next), attachedPrograms(sandbox.cgroupPath).length]).toEqual([false, true, 5]);
  at.agent = new AgentProcess(at.configPath, { command: [...WITHOUT_LISTS, AGENT, "--config", at.configPath], environment: ENVIRONMENT });
  await at.awaitRedirect(["wireserver", "hostga", "imds"]);
  expect(await at.agent.line("redirector-ready")).toMatchObject({ takeover: "same-layout" });
  expect((await curl(IMDS_INSTANCE)).status).toBe(200);
});

test("T-191: under the unit's rights alone, the agent says that its calls come back to it", async () => {
  const { at } = await leaveElsewhere();
  at.agent = new AgentProcess(at.configPath, { command: [...WITHOUT_LISTS, AGENT, "--config", at.configPath], environment: ENVIRONMENT });
  const said = await at.agent.line("secure-channel", ({ message }) => String(message).includes("came back to the agent's own listener"));
  expect(said.message).toContain("azure-proxy-agent release");
  await at.agent.stop();
  expect((await release(at)).code).toBe(0);
  expect(attachedPrograms(sandbox.cgroupPath)).toEqual([]);
});
