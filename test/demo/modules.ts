// Part 4: a policy of the operator's own, put in and taken out while the agent runs.

import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildExample, exampleFolder } from "../../scripts/build-modules.ts";
import { AGENT, runProgram } from "../support/world.ts";
import { curl, NOBODY } from "./caller.ts";
import { INSTANCE, TOKEN } from "./requests.ts";
import type { Stage } from "./stage.ts";

const NAME = "container-guard";
const SETTINGS = ["/system.slice/*.service", "/user.slice/user-*.slice/session-*.scope"];

/** @param configPath - of the running agent */
export async function showModules(stage: Stage, folder: string, configPath: string): Promise<void> {
  const { screen } = stage;
  screen.heading(
    "4. A policy of your own",
    "A WebAssembly module that gives identity tokens only to services of the host, not to what runs in other cgroups: checked, metered and put in while the agent runs. It can only narrow what the rules allow.",
  );
  buildExample(NAME);
  const settings = join(folder, "host-cgroups.txt");
  writeFileSync(settings, `${SETTINGS.join("\n")}\n`);
  const module = async (...argv: readonly string[]) => {
    screen.command("root#", [
      "azure-proxy-agent",
      "module",
      ...argv.map((word) => word.replace(`${folder}/`, "").replace(`${process.cwd()}/`, "")),
    ]);
    const { code, stdout, stderr } = await runProgram([AGENT, "module", ...argv, "--config", configPath]);
    for (const line of `${stdout}${stderr}`.trim().split("\n")) screen.row(`| ${line}`);
    stage.promise(`the command ends with exit code 0`, code === 0, `exit code ${code}: ${stderr}`);
  };
  await module("add", join(exampleFolder(NAME), "policy.wasm"), "--name", NAME, "--settings", settings);
  const denied = await stage.request(
    { who: NOBODY, command: curl(TOKEN) },
    { status: 403, reason: "module-denied", proves: "whom the rules allow, the module denies: its cgroup is none of the host's services" },
  );
  const { module: who, moduleReason, cgroupPath } = denied.line?.fields ?? {};
  stage.promise(
    `the journal names the module and its reason: ${String(who)}, ${String(moduleReason)}, ${String(cgroupPath)}`,
    who === NAME && moduleReason === "cgroup-not-of-the-host",
    JSON.stringify(denied.line?.fields),
  );
  await stage.request(
    { who: NOBODY, command: curl(INSTANCE) },
    { status: 200, reason: "default-allow", host: "valid", isRoot: false, proves: "what the module is not concerned with stays as it was" },
  );
  await module("remove", NAME);
  await stage.request(
    { who: NOBODY, command: curl(TOKEN) },
    {
      status: 200,
      reason: "granted",
      host: "valid",
      isRoot: false,
      proves: "without the module the rules decide again, and no connection was dropped",
    },
  );
  rmSync(settings);
}
