import { describe, expect, test } from "bun:test";
import { readTelemetryDocument } from "../../../host-simulator/telemetry-check.ts";
import { seededRandom } from "../../../test/support/random.ts";
import { extensionEvent, genericEvent, MACHINE, VM } from "../../../test/support/telemetry.ts";
import { DOCUMENT_LIMIT_BYTES, escapeXml, packEvents } from "./document.ts";
import type { TelemetryEvent } from "./event.ts";

/** What the checker of the host simulator, which shares no code with ours, makes of it. */
function understand(events: readonly TelemetryEvent[]) {
  const { documents, tooBig } = packEvents(events, VM, MACHINE, "9.8.7");
  const read = documents.map(({ xml }) => readTelemetryDocument(Buffer.from(xml), Buffer.byteLength(xml)));
  return { tooBig, documents, problems: read.map(({ problem }) => problem), events: read.flatMap((document) => document.events) };
}

describe("packEvents", () => {
  test("renders a log line exactly", () => {
    const { documents } = packEvents([genericEvent('it\'s <done> & "dusted"')], VM, MACHINE, "9.8.7");
    expect(documents).toEqual([
      {
        events: 1,
        xml:
          '<?xml version="1.0"?><TelemetryData version="1.0"><Provider id="FFF0196F-EE4C-4EAF-9AA5-776F622DEB4F"><Event id="7"><![CDATA[' +
          '<Param Name="KeywordName" Value="{&quot;CpuArchitecture&quot;:&quot;x86_64&quot;}" T="mt:wstr" />' +
          '<Param Name="TenantName" Value="tenant" T="mt:wstr" /><Param Name="RoleName" Value="role" T="mt:wstr" />' +
          '<Param Name="RoleInstanceName" Value="_role" T="mt:wstr" /><Param Name="ContainerId" Value="container" T="mt:wstr" />' +
          '<Param Name="ResourceGroupName" Value="group" T="mt:wstr" /><Param Name="SubscriptionId" Value="subscription" T="mt:wstr" />' +
          '<Param Name="VMId" Value="vm" T="mt:wstr" /><Param Name="ImageOrigin" Value="1" T="mt:uint64" />' +
          '<Param Name="OSVersion" Value="Linux:Test-1" T="mt:wstr" /><Param Name="RAM" Value="4096" T="mt:uint64" />' +
          '<Param Name="Processors" Value="2" T="mt:uint64" /><Param Name="EventPid" Value="7" T="mt:uint64" />' +
          '<Param Name="EventTid" Value="8" T="mt:uint64" /><Param Name="GAVersion" Value="1.2.3" T="mt:wstr" />' +
          '<Param Name="ExecutionMode" Value="ProxyAgent" T="mt:wstr" /><Param Name="TaskName" Value="task" T="mt:wstr" />' +
          '<Param Name="OpcodeName" Value="2026-01-02T03:04:05.678Z" T="mt:wstr" />' +
          '<Param Name="EventName" Value="MicrosoftAzureGuestProxyAgent" T="mt:wstr" /><Param Name="CapabilityUsed" Value="INFO" T="mt:wstr" />' +
          '<Param Name="Context1" Value="it&apos;s &lt;done&gt; &amp; &quot;dusted&quot;" T="mt:wstr" />' +
          '<Param Name="Context2" Value="2026-01-02T03:04:05.678Z" T="mt:wstr" /><Param Name="Context3" Value="module" T="mt:wstr" />' +
          "]]></Event></Provider></TelemetryData>",
      },
    ]);
  });

  test("an extension's event has its own provider and parameters", () => {
    const { problems, events } = understand([extensionEvent("fine"), genericEvent("line")]);
    expect(problems).toEqual([null]);
    expect(events.map(({ provider, eventId }) => [provider.slice(0, 8), eventId])).toEqual([
      ["FFF0196F", 7],
      ["69B669B9", 1],
    ]);
    expect(Object.fromEntries(events[1]?.params ?? [])).toMatchObject({
      ...{ GAVersion: "9.8.7", ExtensionType: "Monitoring", IsInternal: "False", Name: "ext", Version: "4.5", Operation: "enable" },
      ...{ OperationSuccess: "True", Message: "fine", Duration: "12" },
    });
  });

  test("T-92: secrets are taken out of messages", () => {
    const { documents } = understand([genericEvent("x password=hunter22; y"), extensionEvent("?sig=abcdefghijklmnop")]);
    const text = documents.map(({ xml }) => xml).join("");
    expect([text.includes("hunter22"), text.includes("abcdefghijklmnop"), text.includes("[REDACTED]")]).toEqual([false, false, true]);
  });

  test("many events are spread over documents, each below the limit; none is lost", () => {
    const { problems, documents, events } = understand(Array.from({ length: 200 }, (_, n) => genericEvent(`${n} ${"&".repeat(600)}`)));
    expect(documents.length).toBeGreaterThan(10);
    expect(new Set(problems)).toEqual(new Set([null]));
    expect(documents.filter(({ xml }) => Buffer.byteLength(xml) >= DOCUMENT_LIMIT_BYTES)).toEqual([]);
    expect(events.length).toBe(200);
    expect(documents.reduce((sum, each) => sum + each.events, 0)).toBe(200);
  });

  test("an event that is too big alone is counted, and the others go", () => {
    const { tooBig, events } = understand([genericEvent("a"), genericEvent("&".repeat(20_000)), genericEvent("b")]);
    expect([tooBig, events.length]).toEqual([1, 2]);
  });

  test("T-92: law: whatever a message holds, the document is well-formed, and what XML can say arrives", () => {
    const pieces = [
      "]]>",
      "<![CDATA[",
      "&amp;",
      "\0",
      "\u000b",
      "\u{1F600}",
      "\ud800",
      "\ufffe",
      "\u0085",
      '"/><Param',
      "\r\n",
      "é",
      "<?",
      "-->",
    ] as const;
    for (let seed = 1; seed <= 300; seed++) {
      const random = seededRandom(seed);
      const message = random
        .list(0, 12, () => (random.oneIn(3) ? String.fromCharCode(random.below(0x10000)) : random.pick(pieces)))
        .join("");
      const { problems, events } = understand([genericEvent(message, { taskName: message }), extensionEvent(message, { name: message })]);
      expect(problems, `seed ${seed}`).toEqual([null]);
      const told = new Map(events[0]?.params).get("TaskName") ?? "";
      const wanted = message.toWellFormed().replace(/[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "\ufffd");
      expect(told, `seed ${seed}`).toBe(wanted);
    }
  });
});

describe("escapeXml", () => {
  test.each([
    ["&<>\"'", "&amp;&lt;&gt;&quot;&apos;"],
    ["&amp;", "&amp;amp;"],
    ["a]]>b", "a]]&gt;b"],
    ["\0\x1b[31m", "\ufffd\ufffd[31m"],
    ["\ud83d", "\ufffd"],
    ["\u{1F600}\t\n", "\u{1F600}\t\n"],
  ])("%j becomes %j", (text, escaped) => {
    expect(escapeXml(text)).toBe(escaped);
  });
});
