import { describe, expect, test } from "bun:test";
import type { HostCall, SendToHost } from "../../core/ports.ts";
import { err, ok } from "../../core/result.ts";
import { makeTelemetryApi } from "./telemetry-api.ts";

const DATE = "Wed, 23 Apr 2025 12:00:00 GMT";
const GOAL =
  "<GoalState><Container><ContainerId>c</ContainerId><RoleInstanceList><RoleInstance><Configuration><SharedConfig>http://168.63.129.16:80/shared?a=1&amp;b" +
  "</SharedConfig></Configuration></RoleInstance></RoleInstanceList></Container></GoalState>";
const SHARED = `<SharedConfig><Deployment name="t"/><Role name="r"/><Instances><Instance id="i"/></Instances></SharedConfig>`;
const INSTANCE = JSON.stringify({ compute: { resourceGroupName: "g", subscriptionId: "s", vmId: "v", offer: "" } });

/** A host that gives these answers in turn. */
function makeHost(...answers: readonly (readonly [status: number, body: string] | "down")[]) {
  const calls: HostCall[] = [];
  const send: SendToHost = async (call) => {
    const answer = answers[calls.length];
    calls.push(call);
    if (answer === undefined || answer === "down") return err({ kind: "unreachable", detail: "ECONNREFUSED" });
    const [status, body] = answer;
    const head = { status, reason: "", headers: [["Content-Type", "text/xml; charset=utf-8"]] } as unknown as Parameters<typeof ok>[0];
    return ok({ head, body: Buffer.from(body) } as never);
  };
  return { api: makeTelemetryApi(send, () => DATE), calls };
}

const headOf = (call: HostCall | undefined) => Buffer.from(call?.head ?? []).toString("latin1");

describe("readVmMetadata", () => {
  test("asks goal state, shared config and IMDS", async () => {
    const { api, calls } = makeHost([200, GOAL], [200, SHARED], [200, INSTANCE]);
    expect(await api.readVmMetadata(undefined)).toEqual({
      ok: true,
      value: {
        ...{ containerId: "c", tenantName: "t", roleName: "r", roleInstanceName: "i" },
        ...{ resourceGroupName: "g", subscriptionId: "s", vmId: "v", imageOrigin: 0 },
      },
    });
    expect(calls.map(({ peer, method }) => `${method} ${peer.address}:${peer.port}`)).toEqual([
      "GET 168.63.129.16:80",
      "GET 168.63.129.16:80",
      "GET 169.254.169.254:80",
    ]);
    expect(headOf(calls[0])).toBe(
      `GET /machine?comp=goalstate HTTP/1.1\r\nx-ms-azure-host-date: ${DATE}\r\nhost: 168.63.129.16\r\n` +
        'x-ms-azure-host-claims: { "isRoot": "true"}\r\ncontent-length: 0\r\nx-ms-version: 2012-11-30\r\n\r\n',
    );
    expect(headOf(calls[1])).toStartWith("GET /shared?a=1&b HTTP/1.1\r\n");
    expect(headOf(calls[2])).toContain("\r\nMetadata: true\r\n");
  });

  test.each([
    [["down"], "cannot read goal state: host 168.63.129.16:80 unreachable"],
    [[[500, "secret"]], "cannot read goal state: found answer 500, want 2xx"],
    [[[200, "secret"]], "cannot read goal state: found text outside"],
    [
      [
        [200, GOAL],
        [200, "<secret/>"],
      ],
      "cannot read shared config: found another document",
    ],
    [
      [
        [200, GOAL],
        [200, SHARED],
        [200, '{"secret":'],
      ],
      "cannot read instance metadata: found no JSON",
    ],
  ] as const)("T-93: says what failed and never quotes the host: %#", async (answers, message) => {
    const read = await makeHost(...answers).api.readVmMetadata(undefined);
    expect(read.ok ? "" : read.error.message).toStartWith(message);
    expect(read.ok ? "secret" : read.error.message).not.toContain("secret");
  });
});

describe("sendDocument", () => {
  test("posts it unsigned", async () => {
    const { api, calls } = makeHost([200, ""]);
    expect(await api.sendDocument("<x>é</x>")).toEqual({ ok: true, value: undefined });
    expect(headOf(calls[0])).toBe(
      `POST /machine/?comp=telemetrydata HTTP/1.1\r\nx-ms-azure-host-date: ${DATE}\r\nhost: 168.63.129.16\r\n` +
        'x-ms-azure-host-claims: { "isRoot": "true"}\r\ncontent-length: 9\r\nx-ms-version: 2012-11-30\r\nContent-Type: text/xml; charset=utf-8\r\n\r\n',
    );
  });

  test("any answer but 2xx is a failure", async () => {
    expect(await makeHost([503, "x"]).api.sendDocument("<x/>")).toEqual({
      ok: false,
      error: { message: "cannot send telemetry: found answer 503, want 2xx" },
    });
  });
});
