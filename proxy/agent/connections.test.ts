import { describe, expect, test } from "bun:test";
import { FakeExchange } from "../../test/fakes/exchange.ts";
import type { AuditRecord } from "../core/caller.ts";
import type { Admission, Identify, RedirectCounters } from "../core/ports.ts";
import { err, ok, type Result } from "../core/result.ts";
import { type ConnectionPorts, makeAdmission } from "./connections.ts";
import type { CallerLookup } from "./handle-request.ts";

const PEER = { address: "127.0.0.1", port: 50_000 };

function record(realUid: number, destinationPort = 80): AuditRecord {
  return {
    processId: 1,
    threadId: 1,
    realUid,
    realGid: 0,
    effectiveUid: realUid,
    effectiveGid: 0,
    comm: "",
    cgroupId: 1n,
    networkNamespaceCookie: 1n,
    socketCookie: 1n,
    startTimeNs: 1n,
    executable: undefined,
    destinationAddress: "169.254.169.254",
    destinationPort,
    mapped: false,
  };
}

const identify: Identify = async (from, endpoint) => ({ endpoint, record: from, doubts: [], claims: {} as never });

function setUp(
  take: () => Result<AuditRecord | undefined, never> | Result<never, { kind: "map-failed"; message: string }>,
  more: Partial<ConnectionPorts> = {},
) {
  const lookups: CallerLookup[] = [];
  let publishFailed = 0n;
  let nowMs = 0;
  const admit = makeAdmission({
    redirector: { takeRecord: take, counters: () => ok({ publishFailed } as RedirectCounters) },
    identify,
    handle: async (_exchange, lookup) => {
      lookups.push(lookup);
    },
    refused: () => undefined,
    limits: { perUser: 2, direct: 1 },
    monotonicMs: () => nowMs,
    ...more,
  });
  const askTwice = async (): Promise<readonly CallerLookup[]> => {
    const admission = admit(PEER);
    if (admission.kind === "admit") for (let n = 0; n < 2; n++) await admission.handle(new FakeExchange());
    return lookups;
  };
  const ask = async (): Promise<CallerLookup | undefined> => {
    const admission = admit(PEER);
    if (admission.kind === "refuse") return undefined;
    await admission.handle(new FakeExchange());
    admission.closed();
    return lookups.at(-1);
  };
  return {
    admit,
    ask,
    askTwice,
    lose: () => {
      publishFailed += 1n;
    },
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

function admitted(admission: Admission): boolean {
  return admission.kind === "admit";
}

describe("admission", () => {
  test("a redirected connection is identified for the endpoint its connect went to", async () => {
    const found = await setUp(() => ok(record(1000))).ask();
    expect(found).toMatchObject({ kind: "identified", caller: { endpoint: "imds" } });
  });

  test("how long identification took is told with a connection's first request, once", async () => {
    const { askTwice, pass } = setUp(() => ok(record(1000)), {
      identify: async (from, endpoint) => {
        pass(3);
        return { endpoint, record: from, doubts: [], claims: {} as never };
      },
    });
    expect((await askTwice()).map((lookup) => (lookup.kind === "identified" ? lookup.identifyMs : lookup.kind))).toEqual([3, undefined]);
  });

  test("T-05: a connection without a record is nobody's", async () => {
    expect(await setUp(() => ok(undefined)).ask()).toEqual({ kind: "not-redirected" });
  });

  test("a record for an address that is not guarded is not believed", async () => {
    expect(await setUp(() => ok(record(0, 8080))).ask()).toEqual({ kind: "not-redirected" });
  });

  test("a caller whose record the kernel lost is asked to come again, for a while", async () => {
    const { ask, lose, pass } = setUp(() => ok(undefined));
    lose();
    expect(await ask()).toEqual({ kind: "record-lost" });
    pass(4_000);
    expect(await ask()).toEqual({ kind: "record-lost" });
    pass(2_000);
    expect(await ask()).toEqual({ kind: "not-redirected" });
  });

  test("a failing map is a lost record, not a direct connection", async () => {
    expect(await setUp(() => err({ kind: "map-failed", message: "x" })).ask()).toEqual({ kind: "record-lost" });
  });

  test("an identification that fails leaves the caller unknown", async () => {
    const { ask } = setUp(() => ok(record(0)), { identify: () => Promise.reject(new Error("bug")) });
    expect(await ask()).toEqual({ kind: "record-lost" });
  });

  test("T-20: one user cannot take the connections of others, and closed ones count no more", () => {
    let uid = 1000;
    const { admit } = setUp(() => ok(record(uid)));
    const first = admit(PEER);
    expect([admitted(first), admitted(admit(PEER)), admitted(admit(PEER))]).toEqual([true, true, false]);
    uid = 1001;
    expect(admitted(admit(PEER))).toBe(true);
    uid = 1000;
    if (first.kind === "admit") first.closed();
    expect([admitted(admit(PEER)), admitted(admit(PEER))]).toEqual([true, false]);
  });

  test("T-159: an admitted connection uses the memory of its real user, an unknown one that of nobody", () => {
    const ownerOf = (admission: Admission) => (admission.kind === "admit" ? admission.owner : "refused");
    const root = { ...record(0), effectiveUid: 1000 };
    const setuid = { ...record(1000), effectiveUid: 0 };
    const owners = [root, setuid, undefined].map((found) => ownerOf(setUp(() => ok(found)).admit(PEER)));
    expect(owners).toEqual([0, 1000, undefined]);
  });

  test("direct connections have a small share of their own", () => {
    const { admit } = setUp(() => ok(undefined));
    expect([admitted(admit(PEER)), admitted(admit(PEER))]).toEqual([true, false]);
  });
});
