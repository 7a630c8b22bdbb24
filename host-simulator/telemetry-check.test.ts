// What the simulator says about telemetry documents that an agent must not send.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { startLoopbackHost } from "./loopback-host.ts";
import { ask } from "./raw-client.ts";
import type { HostSimulator } from "./simulator.ts";
import { readTelemetryDocument } from "./telemetry-check.ts";

const NAMES = ["KeywordName", "TenantName", "RoleName", "RoleInstanceName", "ContainerId", "ResourceGroupName", "SubscriptionId", "VMId"];
const MORE = ["OSVersion", "GAVersion", "ExecutionMode", "TaskName"];
const NUMBERS = ["ImageOrigin", "RAM", "Processors", "EventPid", "EventTid"];
const param = (name: string, value: string, type = "wstr") => `<Param Name="${name}" Value="${value}" T="mt:${type}" />`;
const PARAMS = [
  ...[...NAMES, ...MORE].map((name) => param(name, "x")),
  ...NUMBERS.map((name) => param(name, "1", "uint64")),
  param("OpcodeName", "2026-01-02T03:04:05Z"),
].join("");

function document(params: string, id = "FFF0196F-EE4C-4EAF-9AA5-776F622DEB4F"): string {
  return `<?xml version="1.0"?><TelemetryData version="1.0"><Provider id="${id}"><Event id="7"><![CDATA[${params}]]></Event></Provider></TelemetryData>`;
}

const problemOf = (text: string) => readTelemetryDocument(Buffer.from(text), Buffer.byteLength(text)).problem;

describe("readTelemetryDocument", () => {
  test("takes what is as wanted", () => {
    expect(problemOf(document(PARAMS))).toBeNull();
    expect(problemOf(document(PARAMS + param("Context1", "a &amp; b &lt;&gt;&quot;&apos; é\n")))).toBeNull();
  });

  test.each([
    ["", "want <?xml"],
    [`${document(PARAMS)}\n`, "something follows"],
    ['<?xml version="1.0"?><TelemetryData version="1.0"></TelemetryData>', "no event"],
    [document(PARAMS, "x"), "no GUID"],
    [document(""), "KeywordName is missing"],
    [document(PARAMS.replace("2026-01-02T03:04:05Z", "noon")), "OpcodeName is no time"],
    [document(PARAMS + param("Context1", "a & b")), "unescaped ampersand"],
    [document(PARAMS + param("Context1", "a < b")), "not as wanted"],
    [document(PARAMS + param("Context1", "]]>")), "not as wanted"],
    [document(PARAMS + param("RAM", "2", "uint64")), "RAM comes twice"],
    [document(PARAMS + param("Duration", "-1", "uint64")), "Duration is no number"],
    [document(PARAMS + param("IsInternal", "true", "bool")), "neither True nor False"],
    [document(PARAMS + param("Context1", "\u0001")), "U+1 is not allowed"],
    [document(PARAMS + param("Context1", "x".repeat(65_536))), "the document has"],
  ])("says what is wrong: %#", (text, problem) => {
    expect(problemOf(text)).toContain(problem);
  });

  test("bytes that are not UTF-8", () => {
    expect(readTelemetryDocument(Buffer.from([0xff]), 1).problem).not.toBeNull();
  });
});

describe("the simulator", () => {
  let host: HostSimulator;
  beforeAll(async () => {
    host = await startLoopbackHost();
  });
  afterAll(() => host.stop());
  beforeEach(() => host.reset());

  test("takes telemetry unsigned, remembers it, and forgets it on reset", async () => {
    const post = (body: string) => ask(host.addresses.wireserver, { method: "POST", target: "/machine/?comp=telemetrydata", body });
    expect([(await post(document(PARAMS))).status, (await post("<x/>")).status]).toEqual([200, 200]);
    expect(host.telemetry().map(({ problem, events }) => [problem === null, events.length])).toEqual([
      [true, 1],
      [false, 0],
    ]);
    host.reset();
    expect(host.telemetry()).toEqual([]);
  });
});
