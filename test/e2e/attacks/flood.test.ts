// One user that makes connections as fast as it can, from processes with thousands of threads, so that reading about one of them is
// dear. Root's requests are all answered, none is reset. How long they take is a bench's question (test/bench/flood-bench.ts).

import { afterEach, describe, expect, test } from "bun:test";
import { AttackedWorld, IMDS, NOBODY } from "../../support/attacked-world.ts";
import type { Counts } from "../../support/helper-program.ts";

const SECONDS = 15;
let at: AttackedWorld;
afterEach(() => at[Symbol.asyncDispose]());

/** Requests of root for a while, each on a new connection, one after another: how many got what. */
async function asRoot(to: string, path: string, seconds: number): Promise<Counts> {
  const endMs = performance.now() + seconds * 1_000;
  const counts: Record<string, number> = {};
  while (performance.now() < endMs) {
    const helper = await at.helpers.start("connector", { uid: 0, to, path, tag: "root", mode: "plain", count: 1, wait: 10_000 });
    await helper.ask("send");
    for (const [what, times] of Object.entries(await helper.ask("read 10"))) counts[what] = (counts[what] ?? 0) + times;
    await helper.end();
  }
  return counts;
}

describe("a flood of connections by one user", () => {
  test.each([
    { inFlight: 3_000, threads: 0 },
    { inFlight: 3_000, threads: 8_000 },
  ])(
    "T-177: $inFlight in flight, $threads threads: root's requests are all answered, none reset",
    async ({ inFlight, threads }) => {
      at = await AttackedWorld.start(["connector", "flood"]);
      const flood = await at.helpers.start("flood", { uid: NOBODY, to: IMDS, connections: inFlight, threads });
      expect(await flood.ready).toEqual({ threads });
      const answers = await Promise.all([
        asRoot(IMDS, "/metadata/instance?api-version=2021-02-01", SECONDS),
        asRoot("168.63.129.16:80", "/?comp=versions", SECONDS),
      ]);
      const { connects = 0 } = await flood.ask("count");
      expect(connects).toBeGreaterThan(inFlight);
      for (const counts of answers) expect(Object.keys(counts)).toEqual(["200"]);
      expect((await at.status(10)).code).toBe(0);
    },
    120_000,
  );
});
