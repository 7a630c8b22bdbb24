// Part 7: what the host received in all, and what is left when the agent has stopped.

import type { HostEndpoint, RequestRecord } from "../../host-simulator/host-model.ts";
import { attachedPrograms } from "../support/attached-programs.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { curl, ROOT } from "./caller.ts";
import { INSTANCE } from "./requests.ts";
import { Stage } from "./stage.ts";

const ROWS: readonly (readonly [title: string, endpoint: HostEndpoint])[] = [
  ["WireServer", "wireserver"],
  ["HostGAPlugin", "hostga"],
  ["IMDS", "imds"],
];

const TITLE_WIDTH = 48;

/** @param lastBefore - id of the last request the host received before the agent was there */
export async function showSummary(stage: Stage, lastBefore: number): Promise<void> {
  const { screen, host, agent } = stage;
  screen.heading("7. What the host received", "As the simulated host wrote it down, by endpoint and verdict.");
  const all = await stage.received();
  const through = all.filter(({ id }) => id > lastBefore);
  const own = (await host.requests()).length - all.length;
  screen.row(`${"".padEnd(TITLE_WIDTH)}${["requests", "valid", "unsigned", "invalid"].map((title) => title.padStart(10)).join("")}`);
  screen.row(
    countRow(
      "before the agent, directly",
      all.filter(({ id }) => id <= lastBefore),
    ),
  );
  for (const [title, endpoint] of ROWS) {
    screen.row(
      countRow(
        `through the agent, ${title}`,
        through.filter((record) => record.endpoint === endpoint),
      ),
    );
  }
  screen.row(`${"the agent's own calls (status, key, attestation)".padEnd(TITLE_WIDTH)}${String(own).padStart(10)}`);
  screen.blank();
  const wrong = through.filter(({ signature }) => signature.kind !== "valid");
  stage.promise("0 unsigned or wrongly signed requests left through the agent", wrong.length === 0, `${wrong.length}`);
  stage.promise(
    `${stage.throughAgent} requests were let through, and the host received ${through.length}`,
    through.length === stage.throughAgent && through.length > 0,
    `${stage.throughAgent} and ${through.length}`,
  );
  const forwarded = agent.lines.filter(({ event }) => event === "request-forwarded").length;
  stage.promise("the agent's journal says the same", forwarded === through.length, `${forwarded} lines of requests that were forwarded`);
}

export async function showStop(stage: Stage): Promise<number> {
  const { screen, host, agent } = stage;
  screen.heading("8. Stopping", "SIGTERM, as systemd would.");
  const before = attachedPrograms(requireSandbox().cgroupPath).length;
  const code = await agent.stop();
  const after = attachedPrograms(requireSandbox().cgroupPath).length;
  stage.promise("the agent ended with exit code 0", code === 0, `exit code ${code}: ${agent.stderr}`);
  stage.promise(`eBPF programs on the cgroup: ${before} before, ${after} after`, before > 0 && after === 0, `${before} and ${after}`);
  const without = new Stage(screen, host, undefined);
  await without.request(
    { who: ROOT, command: curl(INSTANCE) },
    { status: 401, host: "unsigned", proves: "programs reach the host directly again, and it refuses them" },
  );
  return without.kept;
}

function countRow(title: string, records: readonly RequestRecord[]): string {
  const of = (kind: RequestRecord["signature"]["kind"]) => records.filter(({ signature }) => signature.kind === kind).length;
  return `${title.padEnd(TITLE_WIDTH)}${[records.length, of("valid"), of("unsigned"), of("invalid")].map((count) => String(count).padStart(10)).join("")}`;
}
