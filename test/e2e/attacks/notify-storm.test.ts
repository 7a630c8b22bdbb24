// /provision with a notify and a tick of the future, over and over, from any user: it may have the host asked sooner, and nothing else.

import { afterEach, expect, test } from "bun:test";
import { AttackedWorld, NOBODY } from "../../support/attacked-world.ts";
import { curl } from "../../support/world.ts";

const SENDERS = 4;
/** Sends until it is ended; prints a line once the first was answered. */
const NOTIFY = `
import socket, time
request = b"GET /provision HTTP/1.1\\r\\nHost: x\\r\\nMetadata: true\\r\\nx-ms-azure-time-tick: 99999999999999999999999\\r\\nx-ms-azure-notify: true\\r\\n\\r\\n"
connection, answered = None, False
while True:
    try:
        if connection is None:
            connection = socket.create_connection(("127.0.0.1", 3080), 5)
        connection.sendall(request)
        if not connection.recv(4096):
            raise OSError("closed")
        if not answered:
            answered = True
            print("answered", flush=True)
    except OSError:
        connection = None
    time.sleep(0.0005)
`;
let at: AttackedWorld;
afterEach(() => at[Symbol.asyncDispose]());

test("T-179: notifies without end from the first moment on: provisioning ends, and the host is asked once a second at most", async () => {
  at = await AttackedWorld.start([], {
    host: { wireserver: "disabled", imds: "disabled" },
    config: { pollKeyStatusIntervalInSeconds: 15 },
    awaitRedirect: [],
    // The host is late, so that the storm is there before provisioning has ended.
    beforeAgent: async (host) => void (await host.addFaults({ kind: "status", status: 500, endpoint: "wireserver" })),
  });
  const senders = Array.from({ length: SENDERS }, () => at.python(NOTIFY, NOBODY));
  for (const sender of senders) await sender.stdout.getReader().read();
  await at.world.host.clearFaults();
  const beganMs = performance.now();
  const before = (await at.world.channelCalls("/secure-channel/status")).length;
  const { code, stdout } = await at.status(30);
  expect([code, stdout]).toEqual([0, expect.not.stringContaining("not ready")]);
  const answer = await curl("http://127.0.0.1:3080/provision");
  expect(JSON.parse(answer.body)).toEqual({ finished: true, errorMessage: "" });
  const seconds = (performance.now() - beganMs) / 1_000;
  expect((await at.world.channelCalls("/secure-channel/status")).length - before).toBeLessThanOrEqual(seconds + 2);
  expect(at.world.agent.lines.some(({ event }) => event === "provisioned")).toBe(true);
}, 90_000);
