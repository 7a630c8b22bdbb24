import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeFakeLog } from "../../../test/fakes/log.ts";
import { readNetworkNamespace } from "../../adapters/proc/network-namespace.ts";
import { err, ok } from "../../core/result.ts";
import { NAMESPACE_HEADER } from "../../core/status/control-socket.ts";
import type { AggregateStatus } from "../../core/status/status.ts";
import { askProvision } from "../../tools/status/ask-provision.ts";
import { type ControlService, startControlService } from "./control-service.ts";

const QUESTION = { tick: 7n, notify: false, limitMs: 5_000 };
let folder: string;
let path: string;
const running: ControlService[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "control-service-"));
  path = join(folder, "agent/control.sock");
});

afterEach(async () => {
  for (const service of running.splice(0)) await service.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(name: string, at = path, isServed = true) {
  const { log, events: lines } = makeFakeLog();
  const status = () => ({ timestamp: name }) as unknown as AggregateStatus;
  const provisioning = { isReady: () => true, isFinished: () => false, errorText: (tick: bigint) => `${name} ${tick}`, notify: () => {} };
  running.push(startControlService({ controlSocket: at }, log, { provisioning, status }));
  while (isServed ? !existsSync(at) : lines.length === 0) await Bun.sleep(1);
  return lines;
}

const ask = (namespace = readNetworkNamespace()) => askProvision({ path, namespace }, QUESTION);
const get = (target: string, headers: Record<string, string> = { Metadata: "true" }) =>
  fetch(`http://agent${target}`, { unix: path, headers });

describe("startControlService", () => {
  test("answers what the listener answers, and the status as to root", async () => {
    await start("one");
    expect(await ask()).toEqual(ok({ finished: false, errorMessage: "one 7" }));
    expect((await get("/health")).status).toBe(200);
    expect(await (await get("/gpa-aggregated-status")).text()).toBe('{"timestamp":"one"}');
    expect([(await get("/provision", {})).status, (await get("/other")).status]).toEqual([400, 404]);
  });

  test("T-170: only its owner may connect, in a folder that only its owner may write to", async () => {
    await start("one");
    expect([statSync(path).mode & 0o777, statSync(join(folder, "agent")).mode & 0o022]).toEqual([0o600, 0]);
  });

  test("T-170: a place that a living agent has stays its own; the second agent goes on without and logs it", async () => {
    expect(await start("one")).toEqual([]);
    const lines = await start("two", path, false);
    expect(lines).toEqual([
      {
        level: "warn",
        event: "control-socket-not-served",
        fields: { message: `cannot serve the control socket on "${path}": another process listens there` },
      },
    ]);
    await running.pop()?.stop();
    expect(await ask()).toEqual(ok({ finished: false, errorMessage: "one 7" }));
  });

  test("T-170: a folder that others may write to is refused", async () => {
    mkdirSync(join(folder, "open"));
    Bun.spawnSync(["chmod", "777", join(folder, "open")]);
    const lines = await start("one", join(folder, "open/control.sock"), false);
    expect(String(lines[0]?.fields.message)).toContain("the folder's mode is 0777");
  });

  test("T-171: a command of another network namespace is refused", async () => {
    await start("one");
    expect(await ask("1")).toEqual(err({ connected: true, message: "runs in another network namespace (421)" }));
    expect((await get("/gpa-aggregated-status", { Metadata: "true", [NAMESPACE_HEADER]: "1" })).status).toBe(421);
  });

  test("the empty path means none; a stop takes the socket away", async () => {
    const none = startControlService({ controlSocket: "" }, makeFakeLog().log, {} as never);
    await none.stop();
    await start("one");
    await running.pop()?.stop();
    expect(existsSync(path)).toBe(false);
  });

  test.each([
    ["nothing there", "nothing", "is not running: nothing listens"],
    ["a path too long for a socket", "x".repeat(200), "cannot be connected to: EINVAL"],
  ])("%s: an error in words", async (_name, name, message) => {
    expect(await askProvision({ path: join(folder, name), namespace: undefined }, QUESTION)).toEqual(err({ connected: false, message }));
  });
});
