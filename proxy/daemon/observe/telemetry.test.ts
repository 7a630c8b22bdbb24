import { describe, expect, test } from "bun:test";
import { readTelemetryDocument } from "../../../host-simulator/telemetry-check.ts";
import { makeFakeLog } from "../../../test/fakes/log.ts";
import { extensionEvent, MACHINE, VM } from "../../../test/support/telemetry.ts";
import { until } from "../../../test/support/until.ts";
import type { TakenEvents } from "../../adapters/telemetry/event-folder.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { GenericEvent } from "../../core/telemetry/event.ts";
import { makeTelemetry, type TelemetryPorts } from "./telemetry.ts";

const MINUTE_MS = 60_000;
const STATUS = { version: "1", status: "SUCCESS" } as unknown as ReturnType<TelemetryPorts["status"]>;

function makeWorld(more: Partial<TelemetryPorts> = {}) {
  const { log, events } = makeFakeLog();
  const world = {
    nowMs: 0,
    metadata: ok(VM) as Result<typeof VM, { readonly message: string }>,
    answers: [] as Result<void, { readonly message: string }>[],
    posted: [] as string[],
    asked: 0,
    kept: [] as GenericEvent[],
    inFolder: [] as TakenEvents[],
  };
  const telemetry = makeTelemetry({
    api: {
      readVmMetadata: async () => {
        world.asked++;
        return world.metadata;
      },
      sendDocument: async (xml) => {
        world.posted.push(xml);
        return world.answers.shift() ?? ok(undefined);
      },
    },
    folder: {
      keep: async (kept) => {
        world.kept.push(...kept);
        return ok(undefined);
      },
      take: async (kind) => ok((kind === "extension" ? world.inFolder.shift() : undefined) ?? { events: [], refused: [] }),
    },
    ...{ machine: MACHINE, version: "9.8.7", processId: 42, log, key: () => undefined, ready: () => true, status: () => STATUS },
    monotonicMs: () => world.nowMs,
    now: () => new Date(world.nowMs),
    ...more,
  });
  /** A tick, and time for what it began. */
  const turn = async (afterMs: number) => {
    world.nowMs += afterMs;
    telemetry.tick();
    for (let n = 0; n < 50; n++) await Promise.resolve();
  };
  const read = () => world.posted.map((xml) => readTelemetryDocument(Buffer.from(xml), Buffer.byteLength(xml)));
  const messages = () =>
    read().flatMap(({ events: sent }) => sent.map(({ params }) => new Map(params).get("Context1") ?? new Map(params).get("Message") ?? ""));
  const add = (message: string) => telemetry.add({ level: "INFO", taskName: "t", message });
  return { ...{ world, telemetry, turn, add, events, messages }, problems: () => read().flatMap(({ problem }) => problem ?? []) };
}

describe("makeTelemetry", () => {
  test("tells how the agent does at once and every quarter of an hour, and lines once a minute", async () => {
    const { world, turn, add, messages, problems } = makeWorld();
    await turn(0);
    expect(messages()).toEqual([JSON.stringify(STATUS)]);
    add("one");
    await turn(30_000);
    expect(world.posted.length).toBe(1);
    add("two");
    await turn(30_000);
    expect(messages().slice(1)).toEqual(["one", "two"]);
    for (let n = 0; n < 14; n++) await turn(MINUTE_MS);
    expect(messages().length).toBe(4);
    expect(problems()).toEqual([]);
    // Asked at the start and after a quarter of an hour, not for every document.
    expect(world.asked).toBe(2);
  });

  test("waits until the agent is ready, a minute at most", async () => {
    const { world, turn } = makeWorld({ ready: () => false });
    await turn(0);
    await turn(59_000);
    expect(world.posted.length).toBe(0);
    await turn(1_000);
    expect(world.posted.length).toBe(1);
  });

  test("nothing leaves while nobody knows which machine this is; then everything", async () => {
    const { world, turn, add, messages, events, telemetry } = makeWorld();
    world.metadata = err({ message: "cannot read goal state: host unreachable" });
    add("early");
    await turn(0);
    await turn(MINUTE_MS);
    expect(world.posted).toEqual([]);
    expect(telemetry.part.report()).toMatchObject({ health: "degraded", message: "cannot read goal state: host unreachable" });
    expect(events.filter(({ event }) => event === "telemetry-failed").length).toBe(1);
    world.metadata = ok(VM);
    await turn(MINUTE_MS);
    expect(messages()).toContain("early");
    expect(telemetry.part.report()).toMatchObject({ health: "ok", message: "Telemetry is sent: 2 events so far." });
  });

  test("what was known about the machine goes on counting when it cannot be asked", async () => {
    const { world, turn } = makeWorld();
    await turn(0);
    world.metadata = err({ message: "gone" });
    await turn(20 * MINUTE_MS);
    expect(world.posted.length).toBe(2);
  });

  test("a document that is refused is tried again, and nothing else is begun meanwhile", async () => {
    const { world, turn, telemetry } = makeWorld();
    world.answers = [err({ message: "found answer 500" })];
    await turn(0);
    await turn(MINUTE_MS);
    expect(world.posted.length).toBe(1);
    expect(telemetry.part.report()).toMatchObject({ health: "degraded", message: "found answer 500" });
    await telemetry.stop();
    await turn(MINUTE_MS);
    expect(world.posted.length).toBe(1);
    expect(telemetry.part.report().details).toMatchObject({ sent: 0, dropped: 1 });
  });

  test.each([
    [4, 5, { sent: 1, dropped: 0 }],
    [5, 5, { sent: 0, dropped: 1 }],
  ])("refused %d times, it is posted %d times: %j", async (refusals, posts, counts) => {
    const { world, turn, telemetry } = makeWorld({ retryMs: 1 });
    world.answers = Array.from({ length: refusals }, () => err({ message: "found answer 503" }));
    await turn(0);
    await until("it was posted as often", () => world.posted.length >= posts);
    await Bun.sleep(10);
    expect(world.posted.length).toBe(posts);
    expect(telemetry.part.report().details).toMatchObject(counts);
  });

  test("T-99: a flood of lines is bounded in memory and kept in files as far as those take it", async () => {
    const { world, turn, add, telemetry } = makeWorld();
    world.metadata = err({ message: "no" });
    for (let n = 0; n < 5_000; n++) add(`line ${n}`);
    expect(telemetry.part.report().details).toMatchObject({ waiting: 1_000, dropped: 4_000 });
    await turn(0);
    for (let n = 0; n < 5_000; n++) add("x".repeat(100_000));
    // Sizes count, too: a megabyte of messages of four kilobytes each.
    expect(Number(telemetry.part.report().details?.waiting)).toBeLessThan(1_300);
    await turn(MINUTE_MS);
    expect(world.kept.length).toBeGreaterThan(200);
    expect(world.kept.every(({ message }) => Buffer.byteLength(message) <= 4_096)).toBe(true);
  });

  test("events of extensions are passed on, bad files are told", async () => {
    const { world, turn, messages, events } = makeWorld();
    world.inFolder = [{ events: [extensionEvent("from an extension")], refused: [{ name: "extension_1.json", reason: "found no JSON" }] }];
    await turn(0);
    expect(messages()).toContain("from an extension");
    expect(events.filter(({ event }) => event === "event-file-refused").map(({ fields }) => fields)).toEqual([
      { name: "extension_1.json", message: "found no JSON" },
    ]);
  });

  test("what was not sent when the agent stops is kept for the next run", async () => {
    const { world, turn, add, telemetry } = makeWorld();
    await turn(0);
    add("last words");
    await telemetry.stop();
    expect(world.kept.map(({ message }) => message)).toEqual(["last words"]);
  });
});
