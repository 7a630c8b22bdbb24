// The agent with the limits and variables that its systemd unit gives it: what is attacked must be what is shipped.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { serviceEnvironment } from "../bench/service-environment.ts";
import type { ServiceManager } from "./service-manager.ts";
import { AGENT, AgentProcess } from "./world.ts";

const UNIT = readFileSync(join(import.meta.dir, "../../debian/azure-proxy-agent.service"), "utf8");

function settingOf(name: string): string {
  const found = new RegExp(`^${name}=(.*)$`, "m").exec(UNIT)?.[1];
  if (found === undefined) throw new Error(`the unit has no ${name}`);
  return found;
}

/** Starts it for {@link World.start}; with a manager it inherits the manager's socket. */
export function startAsUnit(configPath: string, manager?: ServiceManager): AgentProcess {
  const limits = ["prlimit", `--nofile=${settingOf("LimitNOFILE")}`, `--core=${settingOf("LimitCORE")}`, "--"];
  const command = [...limits, AGENT, "--config", configPath];
  const environment = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...serviceEnvironment() };
  return manager === undefined ? new AgentProcess(configPath, { command, environment }) : manager.start(configPath, environment, command);
}
