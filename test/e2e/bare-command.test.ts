// The program's name alone: help where somebody typed it, the agent where a service manager started it. In a sandbox, for the day that
// this is broken.

import { describe, expect, test } from "bun:test";
import { requireSandbox } from "../support/sandbox.ts";
import { AGENT, runAgentCommand } from "../support/status-command.ts";
import { AgentProcess, runProgram } from "../support/world.ts";

requireSandbox();

describe("azure-proxy-agent without a command", () => {
  test.each<[string, Readonly<Record<string, string>>]>([
    ["no environment", {}],
    ["a shell's environment", { PATH: "/usr/bin:/bin", HOME: "/", TERM: "xterm" }],
    ["what a job of a service inherits", { INVOCATION_ID: "5f", NOTIFY_SOCKET: "/run/none", SYSTEMD_EXEC_PID: "1" }],
    ["a socket that is another's", { INVOCATION_ID: "5f", LISTEN_FDS: "1", LISTEN_PID: "1" }],
  ])("with %s it prints help, exits 64 and starts nothing", async (_, env) => {
    const { code, stdout, stderr } = await runAgentCommand([], { env, limitMs: 20_000 });
    expect([code, stdout]).toEqual([64, ""]);
    expect(stderr).toBe((await runAgentCommand(["--help"])).stdout);
  });

  test("on a terminal it starts nothing, whatever the terminal's service left in the environment", async () => {
    const command = `env INVOCATION_ID=5f NOTIFY_SOCKET=/run/none ${AGENT}; echo "ended with $?"`;
    const { stdout } = await runProgram(["script", "--quiet", "--return", "--command", command, "/dev/null"]);
    expect(stdout).toContain("ended with 64");
    expect(stdout).not.toContain("agent-starting");
  });

  test.each<[string, readonly string[]]>([
    ["names the process", ["sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$1"', "sh", AGENT]],
    ["is too old for that", ["env", "INVOCATION_ID=5f", AGENT]],
    ["waits for a message", ["env", "NOTIFY_SOCKET=/nonexistent/notify", AGENT]],
  ])("started by a service manager that %s it is the agent", async (_, command) => {
    const agent = new AgentProcess("", { command });
    try {
      expect((await agent.line("agent-starting")).pid).toBe(agent.pid);
    } finally {
      await agent.stop();
    }
  });
});
