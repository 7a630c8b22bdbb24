import { describe, expect, test } from "bun:test";
import { FakeExchange } from "../../../test/fakes/exchange.ts";
import type { Admission, ConnectionOrigin, Identify, RedirectCounters } from "../../core/ports.ts";
import type { AuditRecord, Caller } from "../../core/request/caller.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { Held } from "../../core/tally/connection-shares.ts";
import { type ConnectionPorts, makeAdmission, type RefusedHead } from "./admission.ts";
import type { CallerLookup } from "./handle-request.ts";
import { makeIdentifyTurns } from "./identify-turns.ts";

const CONNECTION = { address: "127.0.0.1", port: 50_000, descriptor: 9 };
const HELD: () => Held = () => ({ yields: false, evict() {} });
const DIRECT: Result<ConnectionOrigin, never> = ok({ kind: "direct", realUid: 1000 });
const UNRECORDED: Result<ConnectionOrigin, never> = ok({ kind: "unrecorded" });

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

function redirected(from: AuditRecord): Result<ConnectionOrigin, never> {
  return ok({ kind: "redirected", record: from });
}

const identify: Identify = async (from, endpoint) => ({ endpoint, record: from, doubts: [], claims: {} as never });

function setUp(
  originOf: () => Result<ConnectionOrigin, never> | Result<never, { kind: "map-failed"; message: string }>,
  more: Partial<ConnectionPorts> = {},
) {
  const lookups: CallerLookup[] = [];
  let publishFailed = 0n;
  let nowMs = 0;
  const refused: unknown[] = [];
  const told: (readonly [taken: number, crowded: boolean])[] = [];
  const heads: RefusedHead[] = [];
  const admission = makeAdmission({
    redirector: {
      originOf,
      tookFromQueue: (connections, crowded) => void told.push([connections, crowded]),
      counters: () => ok({ publishFailed } as RedirectCounters),
    },
    identify,
    handle: async (_exchange, lookup) => {
      lookups.push(lookup);
    },
    refused: (owner, direct) => void refused.push([owner, direct]),
    headRefused: (head) => void heads.push(head),
    unrecorded: () => undefined,
    limits: { places: 12, rootReserve: 4, perUser: 2, directPerUser: 1 },
    monotonicMs: () => nowMs,
    ...more,
  });
  const admit = () => admission.admit(CONNECTION, HELD());
  const askTwice = async (): Promise<readonly CallerLookup[]> => {
    const admission = admit();
    if (admission.kind === "admit") for (let n = 0; n < 2; n++) await admission.handle(new FakeExchange());
    return lookups;
  };
  const ask = async (): Promise<CallerLookup | undefined> => {
    const admission = admit();
    if (admission.kind === "refuse") return undefined;
    await admission.handle(new FakeExchange());
    admission.closed();
    return lookups.at(-1);
  };
  return {
    admit,
    refused,
    told,
    heads,
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

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function admitted(admission: Admission): boolean {
  return admission.kind === "admit";
}

describe("admission", () => {
  test("T-193: a refused head is told with its caller, or with what the record says of it", async () => {
    const known = setUp(() => redirected(record(1000)));
    const one = known.admit();
    if (one.kind === "admit") one.headRefused?.(400, "bad");
    await Bun.sleep(0);
    expect(known.heads).toMatchObject([{ caller: { endpoint: "imds" }, userId: 1000, status: 400, detail: "bad", peer: { port: 50_000 } }]);
    const direct = setUp(() => DIRECT);
    const other = direct.admit();
    if (other.kind === "admit") other.headRefused?.(431, "long");
    expect(direct.heads).toMatchObject([{ caller: undefined, userId: 1000, status: 431 }]);
  });

  test("a redirected connection is identified for the endpoint its connect went to", async () => {
    const found = await setUp(() => redirected(record(1000))).ask();
    expect(found).toMatchObject({ kind: "identified", caller: { endpoint: "imds" } });
  });

  test("how long identification took is told with a connection's first request, once", async () => {
    const { askTwice, pass } = setUp(() => redirected(record(1000)), {
      identify: async (from, endpoint) => {
        pass(3);
        return { endpoint, record: from, doubts: [], claims: {} as never };
      },
    });
    expect((await askTwice()).map((lookup) => (lookup.kind === "identified" ? lookup.identifyMs : lookup.kind))).toEqual([3, undefined]);
  });

  test.each([
    ["a direct connection", DIRECT],
    ["a connection without a record", UNRECORDED],
  ])("T-05: %s is nobody's", async (_, origin) => {
    expect(await setUp(() => origin).ask()).toEqual({ kind: "not-redirected" });
  });

  test("a record for an address that is not guarded is not believed", async () => {
    expect(await setUp(() => redirected(record(0, 8080))).ask()).toEqual({ kind: "not-redirected" });
  });

  test("a caller whose record the kernel lost is asked to come again, for a while", async () => {
    const { ask, lose, pass } = setUp(() => UNRECORDED);
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
    const { ask } = setUp(() => redirected(record(0)), { identify: () => Promise.reject(new Error("bug")) });
    expect(await ask()).toEqual({ kind: "record-lost" });
  });

  test("T-20: one user cannot take the connections of others, and closed ones count no more", () => {
    let uid = 1000;
    const { admit } = setUp(() => redirected(record(uid)));
    const first = admit();
    expect([admitted(first), admitted(admit()), admitted(admit())]).toEqual([true, true, false]);
    uid = 1001;
    expect(admitted(admit())).toBe(true);
    uid = 1000;
    if (first.kind === "admit") first.closed();
    expect([admitted(admit()), admitted(admit())]).toEqual([true, false]);
  });

  test("T-159: an admitted connection uses the memory of its real user, an unrecorded one that of all who are unrecorded", () => {
    const ownerOf = (admission: Admission) => (admission.kind === "admit" ? admission.owner : "refused");
    const root = { ...record(0), effectiveUid: 1000 };
    const setuid = { ...record(1000), effectiveUid: 0 };
    const owners = [redirected(root), redirected(setuid), DIRECT, UNRECORDED].map((origin) => ownerOf(setUp(() => origin).admit()));
    expect(owners).toEqual([0, 1000, 1000, "unrecorded"]);
  });

  test("direct connections have a small share of their own, by user", () => {
    let uid = 1000;
    const { admit, refused } = setUp(() => ok({ kind: "direct", realUid: uid }));
    expect([admitted(admit()), admitted(admit())]).toEqual([true, false]);
    uid = 1001;
    expect(admitted(admit())).toBe(true);
    expect(refused).toEqual([[1000, true]]);
  });

  test("T-188: the kernel hears once for each turn of the event loop what left the backlog, refused ones too, but root's and unrecorded ones", async () => {
    let uid = 1000;
    const { admit, told } = setUp(() => redirected(record(uid)));
    for (let n = 0; n < 5; n++) admit();
    uid = 0;
    admit();
    expect(told).toEqual([]);
    await nextTurn();
    expect(told).toEqual([[5, false]]);
    uid = 1000;
    for (let n = 0; n < 512; n++) admit();
    await nextTurn();
    admit();
    await nextTurn();
    expect(told.slice(1)).toEqual([
      [512, true],
      [1, false],
    ]);
    const unknown = setUp(() => UNRECORDED);
    unknown.admit();
    await nextTurn();
    expect(unknown.told).toEqual([]);
  });

  test("T-187: nothing is read about a connection that is refused", () => {
    let identified = 0;
    const count: Identify = (from, endpoint) => {
      identified++;
      return identify(from, endpoint, CONNECTION);
    };
    const { admit } = setUp(() => redirected(record(1000)), { identify: count });
    for (let n = 0; n < 50; n++) admit();
    expect(identified).toBe(2);
  });
});

describe("turns of identification", () => {
  const setUpTurns = () => {
    const turns = makeIdentifyTurns();
    const started: string[] = [];
    const finish: (() => void)[] = [];
    const run = (uid: number, name: string, isWanted = () => true) =>
      turns.run(uid, isWanted, () => {
        started.push(name);
        const { promise, resolve } = Promise.withResolvers<Caller>();
        finish.push(() => resolve({ doubts: [name] } as unknown as Caller));
        return promise;
      });
    return { run, started, finish };
  };
  const settle = () => Bun.sleep(0);

  test("T-187: a user's flood waits in its own line; another user and root do not wait behind it", () => {
    const { run, started } = setUpTurns();
    for (let n = 0; n < 100; n++) void run(1000, `flood ${n}`);
    expect(started).toHaveLength(8);
    void run(1001, "other");
    for (let n = 0; n < 20; n++) void run(0, "root");
    expect(started.slice(8)).toEqual(["other", ...Array.from({ length: 20 }, () => "root")]);
  });

  test("what waited starts in order when one before it is done, also after a failure", async () => {
    const { run, started, finish } = setUpTurns();
    const asked = Array.from({ length: 10 }, (_, n) => run(1000, String(n)));
    finish[3]?.();
    expect((await asked[3])?.doubts).toEqual(["3"]);
    await settle();
    expect(started.slice(8)).toEqual(["8"]);
    finish[0]?.();
    await settle();
    expect(started.slice(8)).toEqual(["8", "9"]);
  });

  test("T-187: connections that ended while they waited cost nothing, however many", async () => {
    const { run, started, finish } = setUpTurns();
    for (let n = 0; n < 8; n++) void run(1000, String(n));
    const gone = Array.from({ length: 50_000 }, () => run(1000, "gone", () => false));
    const wanted = run(1000, "wanted");
    finish[0]?.();
    expect(new Set(await Promise.all(gone))).toEqual(new Set([undefined]));
    expect(started.slice(8)).toEqual(["wanted"]);
    finish[8]?.();
    expect((await wanted)?.doubts).toEqual(["wanted"]);
  });
});
