// The edges of the machine: what comes from a wire does not reach the listener, even where the kernel routes loopback addresses from
// wires; and a connect that is bound to a wire does not leave on it in place of being redirected.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { AttackedWorld, NOBODY } from "../../support/attacked-world.ts";
import { DEVICE, MACHINE, NEIGHBOUR, Neighbour } from "../../support/neighbour.ts";
import { until } from "../../support/until.ts";
import { AgentProcess, curl, IMDS_INSTANCE, python, World } from "../../support/world.ts";

/** Listens everywhere, to show that the neighbour's packets arrive. */
const OPEN_PORT = 3_081;
const LOOPBACK_ADDRESSES = ["127.0.0.1", "127.1.2.3", "127.255.0.7"];
const OWN_ADDRESSES = [MACHINE, "169.254.169.254", "168.63.129.16"];

let neighbour: Neighbour;
beforeEach(async () => {
  neighbour = await Neighbour.connect();
});
const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]();
  await neighbour[Symbol.asyncDispose]();
});

async function expectUnreachable(): Promise<void> {
  const control = Bun.listen({ hostname: "0.0.0.0", port: OPEN_PORT, socket: { data() {} } });
  try {
    for (const address of [...LOOPBACK_ADDRESSES, ...OWN_ADDRESSES])
      expect([address, await neighbour.dial(address, OPEN_PORT)]).toEqual([address, "connected"]);
    for (const address of [...LOOPBACK_ADDRESSES, ...OWN_ADDRESSES])
      expect([address, await neighbour.dial(address, 3_080)]).toEqual([address, expect.stringMatching(/^E(?:CONNREFUSED|TIMEDOUT)$/)]);
  } finally {
    control.stop(true);
  }
  expect((await curl(IMDS_INSTANCE)).status).toBe(200);
}

describe("from another machine", () => {
  test("T-182: no address of this one leads to the listener that the service manager keeps", async () => {
    open.push(await AttackedWorld.start([]));
    await expectUnreachable();
  }, 60_000);

  test("T-182: nor to the agent's own", async () => {
    open.push(await World.start({ startAgent: (path) => new AgentProcess(path) }));
    await expectUnreachable();
  }, 60_000);
});

describe("a connect bound to another device", () => {
  const CONNECT = (address: string, port: number) => `
import socket, sys
s = socket.socket(); s.settimeout(2.5)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"${DEVICE}\\0")
try: s.connect(("${address}", ${port})); print("connected")
except OSError as e: print(type(e).__name__)`;

  test.each([
    ["169.254.169.254", 80],
    ["168.63.129.16", 80],
    ["168.63.129.16", 32_526],
  ] as const)(
    "T-183: nothing leaves on that device for %s:%d, nor for the listener in its place",
    async (address, port) => {
      open.push(await AttackedWorld.start([]));
      // That a SYN would be seen: to a port of the neighbour, of another user, on the same device.
      await python(CONNECT(NEIGHBOUR, 9), { uid: NOBODY, gid: NOBODY });
      const seen = () => neighbour.arrived.filter((line) => line === `syn ${NEIGHBOUR}`).length;
      await until("the neighbour has seen the first", () => seen() > 0);
      const first = seen();
      await python(CONNECT(address, port), { uid: NOBODY, gid: NOBODY });
      await python(CONNECT(NEIGHBOUR, 10), { uid: NOBODY, gid: NOBODY });
      // What was sent before it has arrived then, or was not sent.
      await until("the neighbour has seen the last", () => seen() > first);
      expect(neighbour.arrived.filter((line) => !line.endsWith(NEIGHBOUR))).toEqual([]);
    },
    60_000,
  );
});
