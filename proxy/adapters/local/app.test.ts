import { describe, expect, test } from "bun:test";
import type { Caller } from "../../core/request/caller.ts";
import type { HeaderField, RequestHead } from "../../core/request/http-message.ts";
import type { AggregateStatus } from "../../core/status/status.ts";
import { type LocalPorts, makeLocalApp } from "./app.ts";

function head(target: string, headers: readonly HeaderField[] = [["Metadata", "true"]], method = "GET"): RequestHead {
  return { method, target, minorVersion: 1, headers, framing: { kind: "none" }, closeAfter: false, expectsContinue: false, host: "h" };
}

const ROOT = { claims: { runAsElevated: true } } as unknown as Caller;
const ALICE = { claims: { runAsElevated: false } } as unknown as Caller;

function setUp(provisioning: Partial<LocalPorts["provisioning"]> = {}) {
  let notified = 0;
  const answer = makeLocalApp({
    provisioning: {
      isReady: () => true,
      isFinished: (tick) => tick <= 1_000n,
      errorText: () => "",
      ...provisioning,
      notify: () => {
        notified++;
      },
    },
    status: () => ({ timestamp: "now" }) as unknown as AggregateStatus,
  });
  const ask = async (request: RequestHead, caller?: Caller) => {
    const reply = await answer(request, caller);
    return reply === undefined ? undefined : { status: reply.status, text: Buffer.from(reply.body).toString() };
  };
  return { ask, notified: () => notified };
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
    const { ask } = setUp({ isFinished: () => false, errorText: () => "keyLatchStatus - no key\r\n" });
    expect((await ask(head("/provision")))?.text).toBe('{"finished":false,"errorMessage":"keyLatchStatus - no key\\r\\n"}');
  });

  test("a notify counts only while not finished", async () => {
    const headers: readonly HeaderField[] = [
      ["Metadata", "true"],
      ["x-ms-azure-notify", "true"],
    ];
    const finished = setUp();
    await finished.ask(head("/provision", headers));
    const waiting = setUp({ isFinished: () => false });
    await waiting.ask(head("/provision", headers));
    expect([finished.notified(), waiting.notified()]).toEqual([0, 1]);
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

  test("the tick is handed on as it was sent", async () => {
    const ask = (tick: string) =>
      setUp().ask(
        head("/provision", [
          ["Metadata", "true"],
          ["X-Ms-Azure-Time-Tick", tick],
        ]),
      );
    expect((await ask("1000"))?.text).toContain('"finished":true');
    expect((await ask("1001"))?.text).toContain('"finished":false');
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
    expect((await setUp({ isReady: () => false }).ask(head("/health", [])))?.status).toBe(503);
  });
});
