// Bodies that are sent but for their last byte, by one user: what the agent keeps of them is bounded for that user, and root's bodies
// find room.

import { afterEach, expect, test } from "bun:test";
import { AttackedWorld, IMDS, NOBODY } from "../../support/attacked-world.ts";
import { python, runProgram } from "../../support/world.ts";

const BODIES = 700;
/** Looks in a row at which nothing has moved. */
const STILL_TIMES = 6;
/** The most that IMDS takes. */
const BODY_BYTES = 100 * 1024;
let at: AttackedWorld;
afterEach(() => at[Symbol.asyncDispose]());

/** Status that root gets for a body of that many bytes. */
async function rootSends(method: string, address: string, path: string, bytes: number): Promise<number> {
  const script = `
import http.client
c = http.client.HTTPConnection(*"${address}".split(":"), timeout=20)
c.request("${method}", "${path}", body=b"a" * ${bytes}, headers={"Content-Type": "application/octet-stream"})
print(c.getresponse().status)`;
  return Number(await python(script));
}

/** Bytes that clients have sent and the agent has not read. */
async function unread(): Promise<number> {
  const { stdout } = await runProgram(["ss", "-Htn", "sport", "=", ":3080"]);
  return stdout.split("\n").reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[1] ?? 0), 0);
}

/** Until the agent has taken all that it is going to take: nothing is left, or what is left stays. */
async function untilRead(): Promise<void> {
  let same = 0;
  for (let before = -1; same < STILL_TIMES; await Bun.sleep(50)) {
    const now = await unread();
    same = now === before ? same + 1 : 0;
    before = now;
  }
}

const rootsBodies = () =>
  Promise.all([
    rootSends("POST", "168.63.129.16:80", "/HealthService", 10),
    rootSends("POST", "168.63.129.16:80", "/HealthService", 200 * 1024),
    rootSends("PUT", "168.63.129.16:32526", "/status", 2 * 1024 * 1024),
  ]);

test("T-180: 700 bodies without their last byte: root's bodies pass, small and large", async () => {
  at = await AttackedWorld.start(["connector"]);
  const quiet = await rootsBodies();
  expect(quiet).toEqual([200, 200, 200]);
  const path = "/metadata/instance?api-version=2021-02-01";
  const settings = { uid: NOBODY, to: IMDS, path, tag: "half", mode: "plain", count: BODIES, body: BODY_BYTES };
  const attacker = await at.helpers.start("connector", settings);
  await attacker.ask("send");
  expect((await attacker.ask("count")).connected).toBeGreaterThan(0);
  await untilRead();
  expect(await rootsBodies()).toEqual(quiet);
}, 90_000);
