// Metrics and decision trail of the built agent: what callers did is in both, whatever ends the agent, and neither is in the way.

import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { segmentPath } from "../../proxy/adapters/trail/segment-files.ts";
import { parseExposition } from "../support/metrics.ts";
import { readWhole } from "../support/trail.ts";
import { until } from "../support/until.ts";
import { AGENT, curl, GOAL_STATE, IMDS_INSTANCE, World } from "../support/world.ts";

const NOBODY = { uid: 65534, gid: 65534 };
let world: World | undefined;
let own: string | undefined;

afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
  if (own !== undefined) rmSync(own, { recursive: true, force: true });
});

async function start(): Promise<{ readonly one: World; readonly socket: string; readonly audit: string; readonly textfile: string }> {
  own = mkdtempSync(join(tmpdir(), "metrics-and-trail-"));
  const [socket, audit, textfile] = [join(own, "run/metrics.sock"), join(own, "audit"), join(own, "agent.prom")];
  world = await World.start({
    host: { imds: "enforce", wireserver: "enforce" },
    config: { metricsSocket: socket, metricsTextfile: textfile, auditFolder: audit },
  });
  return { one: world, socket, audit, textfile };
}

async function scrape(socket: string) {
  const response = await fetch("http://agent/metrics", { unix: socket });
  const { samples } = parseExposition(await response.text());
  return (name: string, labels: Readonly<Record<string, string>> = {}) =>
    samples.find(
      (sample) =>
        sample.name === `azure_proxy_agent_${name}` && Object.entries(labels).every(([label, value]) => sample.labels.get(label) === value),
    )?.value;
}

async function audit(...argv: readonly string[]) {
  const child = Bun.spawn([AGENT, "audit", ...argv], { stdout: "pipe", stderr: "inherit" });
  return { out: await new Response(child.stdout).text(), code: await child.exited };
}

/** Everything that was decided so far is on disk. */
async function untilRecorded(folder: string, decisions: number): Promise<void> {
  await until("the decisions are recorded", () => readWhole(folder).records.filter(({ kind }) => kind === "decision").length >= decisions);
}

describe("metrics and decision trail", () => {
  test("count and record what callers did, from the kernel's map to the host", async () => {
    const { one, socket, audit: folder, textfile } = await start();
    const before = await scrape(socket);
    expect([
      before("key_state", { state: "latched" }),
      before("redirected", { endpoint: "imds" }),
      before("mode", { endpoint: "imds", mode: "enforce" }),
    ]).toEqual([1, 1, 1]);
    const earlier = before("requests_total", { endpoint: "imds", decision: "allowed" }) ?? 0;
    for (let n = 0; n < 3; n++) expect((await curl(IMDS_INSTANCE)).status).toBe(200);
    expect((await curl(GOAL_STATE, { as: NOBODY })).status).toBe(403);
    const after = await scrape(socket);
    const allowed = ["rules", "no-rules"].map(
      (group) => after("requests_total", { endpoint: "imds", decision: "allowed", class: group }) ?? 0,
    );
    expect(allowed.reduce((a, b) => a + b)).toBeGreaterThanOrEqual(earlier + 3);
    expect(after("requests_total", { endpoint: "wireserver", decision: "denied", class: "built-in" })).toBe(1);
    expect(after("host_seconds_count", { endpoint: "imds" })).toBeGreaterThanOrEqual(3);
    expect(after("records_taken_total")).toBeGreaterThanOrEqual(4);
    expect(after("host_polls_total", { outcome: "ok" })).toBeGreaterThanOrEqual(1);
    expect(after("starts_total")).toBe(1);
    expect(statSync(socket).mode & 0o777).toBe(0o660);
    await untilFile(textfile);
    parseExposition(readFileSync(textfile, "utf8"));
    expect(statSync(textfile).mode & 0o777).toBe(0o644);

    await untilRecorded(folder, 4);
    const lines = (await audit("export", "--folder", folder)).out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const denied = lines.find(({ endpoint }) => endpoint === "wireserver");
    expect(denied).toMatchObject({ decision: "deny", reason: "not-root", responseStatus: 403, caller: { userId: 65534 } });
    expect(denied.requestId).toBe(one.agent.lines.find(({ fields }) => fields.reason === "not-root")?.fields.requestId);
    const live = await audit("verify", "--folder", folder);
    expect([live.code, live.out.slice(0, 3)]).toEqual([0, "OK:"]);

    await one.agent.stop();
    const journal = join(one.folder, "journal.txt");
    writeFileSync(journal, one.agent.lines.map(({ event, fields }) => `${event} ${JSON.stringify(fields)}\n`).join(""));
    expect((await audit("verify", "--folder", folder, "--journal", journal)).out).toContain("OK: ");
    expect(readWhole(folder).records.at(-1)?.kind).toBe("stop");
  });

  test("a killed agent's trail goes on, without a damage, and says that it did not stop in order", async () => {
    const { one, socket, audit: folder } = await start();
    await curl(IMDS_INSTANCE);
    await untilRecorded(folder, 1);
    one.agent.process.kill("SIGKILL");
    await one.agent.process.exited;
    await one.restartAgent(["imds"]);
    await curl(IMDS_INSTANCE);
    expect((await scrape(socket))("starts_total")).toBe(2);
    await one.agent.stop();
    const { records, damages } = readWhole(folder);
    expect(damages).toEqual([]);
    expect(records.flatMap((record) => (record.kind === "start" ? [record.afterStop] : []))).toEqual([false, false]);
  });

  test("T-143: a trail that cannot be written costs no request, and is told in log, status and metrics", async () => {
    const { one, audit: folder, socket } = await start();
    await curl(IMDS_INSTANCE);
    await untilRecorded(folder, 1);
    await one.agent.stop();
    rmSync(folder, { recursive: true });
    writeFileSync(folder, "in the way");
    await one.restartAgent(["imds"]);
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
    await until("the failure is counted", async () => ((await scrape(socket))("trail_write_failures_total") ?? 0) >= 1);
    await one.agent.line("trail-failing");
    rmSync(folder);
    mkdirSync(folder, { mode: 0o700 });
    await untilFile(segmentPath(folder, 1));
    await untilRecorded(folder, 1);
  });
});

async function untilFile(path: string): Promise<void> {
  await until(`"${path}" is made`, () => statSync(path, { throwIfNoEntry: false }) !== undefined);
}
