// Connects that are begun and never finished: the SYN-ACK is thrown away by the socket itself (IP_MINTTL), so they stay in SYN_SENT and
// hold whatever the kernel keeps for them, source ports too. Root connects as ever, and what is lost is lost by who did it.

import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AttackedWorld, allServed, IMDS, NOBODY } from "../../support/attacked-world.ts";
import type { Helper } from "../../support/helper-program.ts";

const PORT_RANGE = "/proc/sys/net/ipv4/ip_local_port_range";
const ROUNDS = 4;
let at: AttackedWorld;
const portsBefore = readFileSync(PORT_RANGE, "utf8");

afterEach(async () => {
  writeFileSync(PORT_RANGE, portsBefore);
  await at[Symbol.asyncDispose]();
});

const pending = (count: number, more: Readonly<Record<string, string | number>> = {}) =>
  at.helpers.start("connector", { uid: NOBODY, to: IMDS, mode: "syn-sent", count, refill: 1000, ...more });

/** Connects that wait, and those that the kernel refused, which it may. */
async function tried(attacker: Helper): Promise<number> {
  const [{ pending: waiting = 0 }, { failed = 0 }] = await Promise.all([attacker.ask("count"), attacker.ready]);
  return waiting + failed;
}

describe("connects that stay in SYN_SENT", () => {
  test("T-174: more than there are records: root is served, and who did it is named or has cost nobody a record", async () => {
    at = await AttackedWorld.start(["connector"]);
    const attackers = [await pending(9_500), await pending(9_500)];
    expect((await Promise.all(attackers.map(tried))).reduce((sum, n) => sum + n, 0)).toBeGreaterThanOrEqual(16_384);
    expect(await at.rootsStatuses(ROUNDS)).toEqual(allServed(ROUNDS));
    expect((await at.status(5)).code).toBe(0);
    if ((await at.metric("records_lost_total")) > 0) {
      const status = readFileSync(join(at.world.folder, "status/status.json"), "utf8");
      expect(status).toMatch(/\b(?:65534|nobody)\b/);
    }
  }, 120_000);

  test("T-175: one user in SYN_SENT on every source port: root's connects find one", async () => {
    at = await AttackedWorld.start(["connector"]);
    const [first, count] = [42_000, 1_024];
    writeFileSync(PORT_RANGE, `${first} ${first + count - 1}`);
    // Bound to the device and not: a port is free for one of the two only where nobody holds it like that.
    const attackers = [await pending(count, { first }), await pending(count, { first: 0 })];
    for (const attacker of attackers) expect(await tried(attacker)).toBeGreaterThan(count * 0.9);
    expect(await at.rootsStatuses(ROUNDS)).toEqual(allServed(ROUNDS));
  }, 60_000);

  test("T-175: one user connected on every source port, bound to the device: root's connects are not its", async () => {
    at = await AttackedWorld.start(["connector"]);
    const [first, count] = [43_100, 512];
    writeFileSync(PORT_RANGE, `${first} ${first + count - 1}`);
    const attacker = await at.helpers.start("connector", { uid: NOBODY, to: IMDS, mode: "device", first, count, mute: 1 });
    expect(await attacker.ready).toMatchObject({ connected: count, offPort: 0 });
    expect(await at.rootsStatuses(ROUNDS)).toEqual(allServed(ROUNDS));
  }, 120_000);
});
