// Connections that are held and not used: by many users through the redirect, by one straight to the listener. Whatever they hold,
// root and those who ask whether the VM is ready are served, and what was refused is counted.

import { afterEach, describe, expect, test } from "bun:test";
import { AttackedWorld, allServed, FIRST_USER, IMDS, LISTENER, NOBODY } from "../../support/attacked-world.ts";
import { curl } from "../../support/world.ts";

const ROUNDS = 3;
const PER_USER = 1_024;
/** Connections of each user that are made again, each tenth of a second. */
const REFILL = 1024;
/** Counters of connections that did not stay, whichever way; the kernel's own refusals are one outcome of its connects. */
const NOT_KEPT = /^azure_proxy_agent_connections_[a-z_]*(?:refused|closed|evicted)[a-z_]*_total$/;
const CONNECTS = "azure_proxy_agent_kernel_connects_total";
let at: AttackedWorld;

afterEach(() => at[Symbol.asyncDispose]());

async function notKept(): Promise<number> {
  return (await at.metrics())
    .filter(({ name, labels }) => NOT_KEPT.test(name) || (name === CONNECTS && labels.get("outcome") === "refused-share"))
    .reduce((sum, { value }) => sum + value, 0);
}

describe("idle connections through the redirect", () => {
  test.each([
    { users: 4, refill: 0, what: "that stay" },
    { users: 16, refill: 0, what: "that stay" },
    { users: 4, refill: REFILL, what: "made again as soon as they are closed" },
    { users: 16, refill: REFILL, what: "made again as soon as they are closed" },
  ])(
    "T-176: of $users users, 1,024 each, $what: root is served, boot tools too, and it is counted",
    async ({ users, refill }) => {
      at = await AttackedWorld.start(["connector"]);
      const before = await notKept();
      await Promise.all(
        Array.from({ length: users }, (_, user) =>
          at.helpers.start("connector", { uid: FIRST_USER + user, to: IMDS, mode: "plain", count: PER_USER, refill }),
        ),
      );
      expect(await at.rootsStatuses(ROUNDS)).toEqual(allServed(ROUNDS));
      expect((await at.status(10)).code).toBe(0);
      // Together they wanted all there are, or more; root had some.
      expect(await notKept()).toBeGreaterThan(before);
    },
    600_000,
  );

  test("T-176: a user that comes late gets its share beside one that took what it could", async () => {
    at = await AttackedWorld.start(["connector"]);
    for (let user = 0; user < 4; user++)
      await at.helpers.start("connector", { uid: FIRST_USER + user, to: IMDS, mode: "plain", count: PER_USER, refill: REFILL });
    const late = await at.helpers.start("connector", {
      uid: FIRST_USER + 100,
      to: IMDS,
      mode: "plain",
      count: 16,
      path: "/metadata/instance?api-version=2021-02-01",
      tag: "late",
    });
    await late.ask("send");
    expect(await late.ask("read 90")).toEqual({ "200": 16 });
  }, 300_000);
});

describe("idle connections straight to the listener", () => {
  test.each([64, 300])(
    "T-178: %d of one user: --status and root's direct requests are answered",
    async (count) => {
      at = await AttackedWorld.start(["connector"]);
      const holder = await at.helpers.start("connector", { uid: NOBODY, to: LISTENER, mode: "plain", count, refill: REFILL });
      expect((await holder.ready).connected).toBeGreaterThanOrEqual(64);
      const { code, stdout } = await at.status(10);
      expect([code, stdout]).toEqual([0, expect.not.stringContaining("not ready")]);
      const answer = await curl("http://127.0.0.1:3080/provision");
      expect([answer.status, JSON.parse(answer.body || "{}").finished]).toEqual([200, true]);
    },
    60_000,
  );
});
