import { describe, expect, test } from "bun:test";
import { makeFakeLog } from "../../../test/fakes/log.ts";
import { type KeyStatus, perEndpoint } from "../../core/channel/key-status.ts";
import { Secret } from "../../core/channel/secret.ts";
import type { LatchedKey } from "../../core/channel/secure-channel.ts";
import { err, ok } from "../../core/result.ts";
import type { LocalFileState } from "./guards.ts";
import { type KeeperPorts, makeKeyKeeper } from "./key-keeper.ts";

function key(n: number): LatchedKey {
  return { guid: `00000000-0000-0000-0000-00000000000${n}`, incarnationId: n, issued: "", secret: new Secret(Buffer.alloc(32, n)) };
}

function status(keyGuid: string | undefined, mode: "enforce" | "audit" | "disabled" = "enforce"): KeyStatus {
  const enabled = mode !== "disabled";
  return {
    enabled,
    stateText: enabled ? "WireServer Enforce" : "disabled",
    keyGuid,
    keyIncarnationId: undefined,
    orders: perEndpoint(() => ({ kind: "mode", mode })),
  };
}

/** A keeper with scripted ports; what is not scripted fails. */
function setUp(ports: Partial<KeeperPorts>) {
  const calls: string[] = [];
  const redirects: (readonly [wanted: boolean, keyReady: boolean])[] = [];
  const noted = <Args extends readonly unknown[], Out>(name: string, make: ((...args: Args) => Out) | undefined, otherwise: Out) => {
    return (...args: Args): Out => {
      calls.push(name);
      return make === undefined ? otherwise : make(...args);
    };
  };
  const { log, events } = makeFakeLog();
  const refuse = err({ message: "scripted failure" });
  const keeper = makeKeyKeeper({
    readStatus: noted("status", ports.readStatus, Promise.resolve(refuse)),
    acquireKey: noted("acquire", ports.acquireKey, Promise.resolve(refuse)),
    attestKey: noted("attest", ports.attestKey, Promise.resolve(refuse)),
    loadKey: noted("load", ports.loadKey, refuse),
    saveKey: noted("save", ports.saveKey, refuse),
    pruneKeys: noted("prune", ports.pruneKeys, undefined),
    composeRules: ports.composeRules ?? ((item) => ({ json: item.json, id: item.id, localFile: undefined, goodFile: undefined })),
    prepareRules: async () => err("unused"),
    applyRedirect: (wanted, keyReady) => redirects.push([wanted.imds, keyReady]),
    changed: () => undefined,
    log,
    localNowMs: () => 1_000_000,
    monotonicMs: () => 5,
    ...(ports.monotonicMs === undefined ? {} : { monotonicMs: ports.monotonicMs }),
  });
  return { keeper, calls, redirects, events };
}

function answering(...answers: KeyStatus[]): KeeperPorts["readStatus"] {
  let index = 0;
  return async () => {
    const answer = answers[Math.min(index++, answers.length - 1)];
    return answer === undefined ? err({ message: "no more answers" }) : ok({ status: answer, hostDateMs: undefined });
  };
}

describe("key keeper", () => {
  test("acquires, saves and only then attests; the redirect is told that the key is ready", async () => {
    const { keeper, calls, redirects } = setUp({
      readStatus: answering(status(undefined)),
      acquireKey: async () => ok(key(1)),
      saveKey: () => ok(undefined),
      attestKey: async () => ok(undefined),
    });
    await keeper.poll();
    expect(calls).toEqual(["status", "acquire", "save", "attest", "prune"]);
    expect(keeper.snapshot().channel).toEqual({ kind: "latched", key: key(1) });
    expect(redirects).toEqual([[true, true]]);
  });

  test("after a restart the key comes from disk and the host is not asked for another", async () => {
    const { keeper, calls } = setUp({ readStatus: answering(status(key(1).guid)), loadKey: () => ok(key(1)) });
    await keeper.poll();
    await keeper.poll();
    expect(calls).toEqual(["status", "load", "status"]);
    expect(keeper.snapshot().channel.kind).toBe("latched");
  });

  test.each([
    ["acquire fails", {}],
    ["the key cannot be saved (full disk)", { acquireKey: async () => ok(key(1)) }],
    ["the host refuses to attest", { acquireKey: async () => ok(key(1)), saveKey: () => ok(undefined) }],
  ] as const)("stays unlatched when %s, and tries again", async (_what, ports) => {
    const { keeper, redirects, calls } = setUp({ readStatus: answering(status(undefined)), ...ports });
    await keeper.poll();
    expect(keeper.snapshot().channel).toEqual({ kind: "unlatched" });
    expect(keeper.report()).toMatchObject({ healthy: false, message: "scripted failure" });
    expect(redirects).toEqual([[true, false]]);
    await keeper.poll();
    expect(calls.filter((call) => call === "acquire")).toHaveLength(2);
  });

  test("T-03: a key that the host no longer names is dropped before anything else happens", async () => {
    const { keeper, redirects } = setUp({ readStatus: answering(status(key(1).guid), status(undefined)), loadKey: () => ok(key(1)) });
    await keeper.poll();
    await keeper.poll();
    expect(keeper.snapshot().channel).toEqual({ kind: "unlatched" });
    expect(redirects).toEqual([
      [true, true],
      [true, false],
    ]);
  });

  test("a new incarnation is followed to its new key", async () => {
    const { keeper } = setUp({
      readStatus: answering(status(key(1).guid), status(undefined)),
      loadKey: () => ok(key(1)),
      acquireKey: async () => ok(key(2)),
      saveKey: () => ok(undefined),
      attestKey: async () => ok(undefined),
    });
    await keeper.poll();
    await keeper.poll();
    expect(keeper.snapshot().channel).toEqual({ kind: "latched", key: key(2) });
  });

  test("a status that cannot be had changes nothing", async () => {
    let down = false;
    const { keeper, redirects } = setUp({
      readStatus: async () => (down ? err({ message: "host is down" }) : ok({ status: status(key(1).guid), hostDateMs: undefined })),
      loadKey: () => ok(key(1)),
    });
    await keeper.poll();
    const before = keeper.snapshot();
    down = true;
    await keeper.poll();
    expect(keeper.snapshot()).toBe(before);
    expect(redirects).toHaveLength(1);
    expect(keeper.report()).toMatchObject({ healthy: false, message: "host is down" });
  });

  test("a disabled channel forgets the key and lets all endpoints go", async () => {
    const { keeper, redirects } = setUp({
      readStatus: answering(status(key(1).guid), status(key(1).guid, "disabled")),
      loadKey: () => ok(key(1)),
    });
    await keeper.poll();
    await keeper.poll();
    expect(keeper.snapshot().channel).toEqual({ kind: "disabled" });
    expect(redirects.at(-1)).toEqual([false, false]);
  });

  test("a mode change takes effect although the key cannot be had in the same turn", async () => {
    const { keeper, redirects } = setUp({
      readStatus: answering(status(key(1).guid), { ...status(undefined), orders: perEndpoint(() => ({ kind: "mode", mode: "disabled" })) }),
      loadKey: () => ok(key(1)),
    });
    await keeper.poll();
    await keeper.poll();
    expect(redirects.at(-1)).toEqual([false, false]);
  });

  test("signs with the host's clock, whatever the local one says", async () => {
    const hostDateMs = Date.UTC(2030, 0, 1);
    let now = 100;
    const { keeper } = setUp({ readStatus: async () => ok({ status: status(undefined, "disabled"), hostDateMs }), monotonicMs: () => now });
    expect(keeper.hostDate()).toBe(new Date(1_000_000).toUTCString());
    await keeper.poll();
    now += 61_000;
    expect(keeper.hostDate()).toBe("Tue, 01 Jan 2030 00:01:01 GMT");
  });

  test("tells once what came of a local rule file, and again when that changes", async () => {
    const item = { id: "r", mode: "enforce", defaultAccess: "deny", json: {} };
    const orders = perEndpoint((endpoint) =>
      endpoint === "imds" ? ({ kind: "rules", item, from: "imds" } as const) : ({ kind: "mode", mode: "disabled" } as const),
    );
    let localFile: LocalFileState | undefined;
    const { keeper, events } = setUp({
      readStatus: answering({ ...status(undefined), orders }),
      composeRules: () => ({ json: undefined, id: "r", localFile, goodFile: undefined }),
    });
    const path = "/rules/IMDS_Rules.json";
    const told: unknown[] = [];
    for (const next of [
      undefined,
      { path, state: "refused", message: "owner is uid 1000, want root", sha256: "" },
      { path, state: "refused", message: "owner is uid 1000, want root", sha256: "" },
      { path, state: "missing", message: "", sha256: "" },
      undefined,
    ] as const) {
      localFile = next;
      const from = events.length;
      await keeper.poll();
      told.push(events.slice(from).flatMap(({ level, event }) => (event.startsWith("local-rules-") ? [`${level} ${event}`] : [])));
    }
    // Refused in every turn here: the scripted compiler takes nothing.
    expect(told).toEqual([[], ["error local-rules-refused"], [], ["warn local-rules-missing"], ["info local-rules-not-wanted"]]);
    expect(events.find(({ event }) => event === "local-rules-refused")?.fields).toEqual({
      endpoint: "imds",
      path,
      sha256: "",
      message: "owner is uid 1000, want root",
    });
  });

  test("an exception in one turn is reported and the next turn runs", async () => {
    let broken = true;
    const { keeper } = setUp({
      readStatus: async () => {
        if (broken) throw new Error("bug");
        return ok({ status: status(undefined, "disabled"), hostDateMs: undefined });
      },
    });
    await keeper.poll();
    expect(keeper.report().message).toContain("internal error");
    broken = false;
    await keeper.poll();
    expect(keeper.report()).toMatchObject({ healthy: true, stateText: "disabled" });
  });
});
