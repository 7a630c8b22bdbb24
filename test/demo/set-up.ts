// Parts 0 to 2: what is set up, what a VM is like without the agent, and ordinary programs with it.

import type { HostControlClient } from "../../host-simulator/control-client.ts";
import { attachedPrograms } from "../support/attached-programs.ts";
import { requireSandbox } from "../support/sandbox.ts";
import type { AgentProcess } from "../support/world.ts";
import { curl, NOBODY, python, ROOT } from "./caller.ts";
import { GOAL_STATE, INSTANCE, MAPPED_SCRIPT, urllibScript } from "./requests.ts";
import type { Screen } from "./screen.ts";
import { Stage } from "./stage.ts";

export function tellSetUp(screen: Screen): void {
  const { namespace, cgroupPath } = requireSandbox();
  screen.heading(
    "The stage",
    "A network namespace in which the metadata services' addresses are its own, and a simulated Azure host on them that checks every signature with code of its own. Nothing here can reach a real service.",
  );
  screen.fact("network", namespace);
  screen.fact("", "169.254.169.254 (IMDS), 168.63.129.16 (WireServer, HostGAPlugin) on its loopback");
  screen.fact("cgroup", cgroupPath);
  screen.fact("host", "secure channel 2.0; WireServer, HostGAPlugin and IMDS in enforce");
}

export async function showWithoutAgent(screen: Screen, host: HostControlClient): Promise<Stage> {
  const stage = new Stage(screen, host, undefined);
  screen.heading("1. Without the agent", "The host wants requests signed with a key that only an agent can have. Nobody signs yet.");
  await stage.request(
    { who: ROOT, command: curl(INSTANCE) },
    { status: 401, host: "unsigned", proves: "the host refuses what is not endorsed, even from root" },
  );
  return stage;
}

export async function tellAgentStart(screen: Screen, agent: AgentProcess): Promise<void> {
  const since = (event: string) => {
    const times = agent.lines.filter((line) => line.event === event).map(({ atMs }) => atMs - agent.startedMs);
    return times.length === 0 ? "?" : String(Math.max(...times));
  };
  const attested = await agent.line("secure-channel", ({ message }) => /^(attested key|found key)/.test(String(message)));
  screen.fact("agent", `dist/azure-proxy-agent, pid ${agent.pid}`);
  screen.fact("", `listening on 127.0.0.1:3080 ${since("listener-ready")} ms after exec`);
  screen.fact(
    "",
    `${attachedPrograms(requireSandbox().cgroupPath).length} eBPF programs attached to the cgroup after ${since("redirector-ready")} ms`,
  );
  screen.fact("", `intercepting all three services after ${since("redirect")} ms`);
  screen.fact("channel", String(attested.message).replace("attested key", "latched: the host attested key"));
}

export async function showOrdinaryPrograms(stage: Stage): Promise<void> {
  const { screen } = stage;
  screen.heading(
    "2. With the agent",
    "The same programs, unchanged. The kernel hands their connections to the agent, which knows who made each of them, decides, signs and forwards.",
  );
  await tellAgentStart(screen, stage.agent);
  await stage.request(
    { who: ROOT, command: curl(INSTANCE) },
    { status: 200, reason: "default-allow", host: "valid", isRoot: true, proves: "the same command gets its answer" },
  );
  await stage.request(
    { who: NOBODY, command: curl(INSTANCE) },
    { status: 200, reason: "default-allow", host: "valid", isRoot: false, proves: "the host is told that this caller is not root" },
  );
  const urllib = urllibScript(INSTANCE);
  await stage.request(
    { who: NOBODY, command: python(urllib) },
    { status: 200, reason: "default-allow", host: "valid", isRoot: false, proves: "any HTTP client will do" },
    urllib,
  );
  const mapped = await stage.request(
    { who: NOBODY, command: python(MAPPED_SCRIPT) },
    { status: 200, reason: "default-allow", host: "valid", isRoot: false, proves: "IPv6 sockets to the mapped address do not go round it" },
    MAPPED_SCRIPT,
  );
  const peer = /getpeername: (\S+)/.exec(mapped.client.stdout)?.[1] ?? "nothing";
  stage.promise(`the client sees the address it asked for: ${peer}`, peer === "::ffff:169.254.169.254", peer);
  await stage.request(
    { who: ROOT, command: curl(GOAL_STATE, "-H", "x-ms-version: 2012-11-30") },
    { status: 200, reason: "default-allow", host: "valid", isRoot: true, proves: "the VM's own agents reach WireServer" },
  );
  await stage.request(
    { who: ROOT, command: curl("http://168.63.129.16:32526/versions") },
    { status: 200, reason: "default-allow", host: "valid", isRoot: true, proves: "and HostGAPlugin as before" },
  );
}
