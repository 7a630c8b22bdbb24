import { describe, expect, test } from "bun:test";
import type { Caller } from "../../core/caller.ts";
import type { HeaderField, RequestHead } from "../../core/http-message.ts";
import type { AggregateStatus } from "../../core/status.ts";
import { type LocalPorts, makeLocalApp } from "./app.ts";

function head(target: string, headers: readonly HeaderField[] = [["Metadata", "true"]], method = "GET"): RequestHead {
  return { method, target, minorVersion: 1, headers, framing: { kind: "none" }, closeAfter: false, expectsContinue: false, host: "h" };
}

const ROOT = { claims: { runAsElevated: true } } as unknown as Caller;
const ALICE = { claims: { runAsElevated: false } } as unknown as Caller;

function setUp(ports: Partial<LocalPorts> = {}) {
  let woken = 0;
  const answer = makeLocalApp({
    ready: () => true,
    finishTick: () => 1_000n,
    errorMessage: () => "",
    status: () => ({ timestamp: "now" }) as unknown as AggregateStatus,
    ...ports,
    wake: () => {
      woken++;
    },
  });
  const ask = async (request: RequestHead, caller?: Caller) => {
    const reply = await answer(request, caller);
    return reply === undefined ? undefined : { status: reply.status, text: Buffer.from(reply.body).toString() };
  };
  return { ask, woken: () => woken };
}

describe("local endpoints", () => {
  test.each([
    "/metadata/instance",
    "/provision/",
    "/Provision",
    "/provision?x",
    "/health/../provision",
    "//provision",
    "http://h/provision",
  ])("%s is not ours", async (target) => {
    expect(await setUp().ask(head(target))).toBeUndefined();
  });

  test.each(["/provision", "/gpa-aggregated-status"])("%s without Metadata is a bad request", async (target) => {
    expect((await setUp().ask(head(target, []), ROOT))?.status).toBe(400);
  });

  test("tells that provisioning finished", async () => {
    expect((await setUp().ask(head("/provision")))?.text).toBe('{"finished":true,"errorMessage":""}');
  });

  test("is not finished before everything is ready, also for a query without a tick", async () => {
    const { ask } = setUp({ ready: () => false, finishTick: () => 0n, errorMessage: () => "keyLatchStatus - no key\r\n" });
    expect((await ask(head("/provision")))?.text).toBe('{"finished":false,"errorMessage":"keyLatchStatus - no key\\r\\n"}');
  });

  test("a notify wakes the key keeper only while not finished", async () => {
    const headers: readonly HeaderField[] = [
      ["Metadata", "true"],
      ["x-ms-azure-notify", "true"],
    ];
    const finished = setUp();
    await finished.ask(head("/provision", headers));
    const waiting = setUp({ ready: () => false, finishTick: () => 0n });
    await waiting.ask(head("/provision", headers));
    expect([finished.woken(), waiting.woken()]).toEqual([0, 1]);
  });

  test.each(["", "abc", "-1", "1e9", "9".repeat(40)])("takes the tick %p as no tick", async (tick) => {
    expect(
      (
        await setUp().ask(
          head("/provision", [
            ["Metadata", "true"],
            ["x-ms-azure-time-tick", tick],
          ]),
        )
      )?.text,
    ).toContain('"finished":true');
  });

  test("T-07: the aggregate status is for root callers that came through the redirect", async () => {
    const { ask } = setUp();
    expect((await ask(head("/gpa-aggregated-status"), undefined))?.status).toBe(403);
    expect((await ask(head("/gpa-aggregated-status"), ALICE))?.status).toBe(403);
    expect(await ask(head("/gpa-aggregated-status"), ROOT)).toEqual({ status: 200, text: '{"timestamp":"now"}' });
  });

  test.each(["TRACE", "CONNECT", "get", "WIDGET"])("the method %s does no harm", async (method) => {
    expect((await setUp().ask(head("/provision", undefined, method)))?.status).toBe(200);
  });

  test("health tells readiness by its status", async () => {
    expect((await setUp().ask(head("/health", [])))?.status).toBe(200);
    expect((await setUp({ ready: () => false }).ask(head("/health", [])))?.status).toBe(503);
  });
});
