import { describe, expect, test } from "bun:test";
import vectors from "../../../test/vectors/key-status.json";
import { ENDPOINTS } from "../request/endpoint.ts";
import { MAX_STATUS_BYTES, parseKeyStatus, renderStatusError } from "./key-status.ts";

/** Statuses the reference takes and we refuse, because they would leave the VM half protected. */
const REFUSED_BY_US: Readonly<Record<string, string>> = { "bad-scheme": "/authorizationScheme", "v3-state": "/version" };

const V2 = { authorizationScheme: "Azure-HMAC-SHA256", keyDeliveryMethod: "http", secureChannelEnabled: true, version: "2.0" };
const ITEM = { defaultAccess: "deny", mode: "enforce", id: "r" };

describe("parseKeyStatus", () => {
  test.each(vectors.vectors.map((vector) => [vector.id, vector] as const))("reads vector %s", (id, vector) => {
    const found = parseKeyStatus(JSON.stringify(vector.status));
    const refusedAt = REFUSED_BY_US[id];
    if (refusedAt !== undefined) {
      expect(found.ok ? "accepted" : found.error.pointer).toBe(refusedAt);
      return;
    }
    if (vector.result !== "valid") {
      expect(found.ok).toBe(false);
      return;
    }
    if (!found.ok) throw new Error(renderStatusError(found.error));
    expect(found.value.stateText).toBe(vector.secureChannelState ?? "");
    for (const endpoint of ENDPOINTS) {
      const order = found.value.orders[endpoint];
      expect(order.kind === "mode" ? order.mode : order.item.mode.toLowerCase()).toBe(vector.modes?.[endpoint] as never);
    }
  });

  test("a disabled channel guards nothing although rules come with it", () => {
    const found = parseKeyStatus(
      JSON.stringify({ ...V2, secureChannelEnabled: false, authorizationRules: { imds: ITEM, wireserver: ITEM } }),
    );
    expect(found.ok && found.value.enabled).toBe(false);
    expect(found.ok && found.value.stateText).toBe("disabled");
    expect(
      found.ok && ENDPOINTS.every((endpoint) => JSON.stringify(found.value.orders[endpoint]) === '{"kind":"mode","mode":"disabled"}'),
    ).toBe(true);
  });

  test("HostGAPlugin takes its own item when the host sends one", () => {
    const found = parseKeyStatus(
      JSON.stringify({ ...V2, authorizationRules: { wireserver: ITEM, hostga: { ...ITEM, id: "own", mode: "Audit" } } }),
    );
    expect(found.ok && found.value.orders.hostga).toMatchObject({ kind: "rules", item: { id: "own", mode: "Audit" } });
    expect(found.ok && found.value.stateText).toBe("WireServer Enforce -  IMDS Disabled - HostGA Audit");
  });

  test.each([
    ["", ""],
    ["<html>busy</html>", ""],
    ["null", ""],
    ["[]", ""],
    [JSON.stringify({ ...V2, version: undefined }), "/version"],
    [JSON.stringify({ ...V2, version: 2 }), "/version"],
    [JSON.stringify({ ...V2, version: "2.1" }), "/version"],
    [JSON.stringify({ ...V2, secureChannelEnabled: "true" }), "/secureChannelEnabled"],
    [JSON.stringify({ ...V2, secureChannelEnabled: null }), "/secureChannelEnabled"],
    [JSON.stringify({ ...V2, version: "1.0", secureChannelState: "constructor" }), "/secureChannelState"],
    [JSON.stringify({ ...V2, version: "1.0", secureChannelState: undefined }), "/secureChannelState"],
    [JSON.stringify({ ...V2, keyGuid: "../../etc/passwd" }), "/keyGuid"],
    [JSON.stringify({ ...V2, keyGuid: "" }), "/keyGuid"],
    [JSON.stringify({ ...V2, keyIncarnationId: -1 }), "/keyIncarnationId"],
    [JSON.stringify({ ...V2, keyIncarnationId: 1.5 }), "/keyIncarnationId"],
    [JSON.stringify({ ...V2, keyDeliveryMethod: "pigeon" }), "/keyDeliveryMethod"],
    [JSON.stringify({ ...V2, requiredClaimsHeaderPairs: [1] }), "/requiredClaimsHeaderPairs"],
    [JSON.stringify({ ...V2, authorizationRules: [] }), "/authorizationRules"],
    [JSON.stringify({ ...V2, authorizationRules: { imds: "deny" } }), "/authorizationRules/imds"],
    [JSON.stringify({ ...V2, authorizationRules: { imds: { ...ITEM, mode: 1 } } }), "/authorizationRules/imds/mode"],
    [
      JSON.stringify({ ...V2, authorizationRules: { imds: { ...ITEM, defaultAccess: undefined } } }),
      "/authorizationRules/imds/defaultAccess",
    ],
  ])("T-15: refuses %s", (text, pointer) => {
    const found = parseKeyStatus(text);
    expect(found.ok ? "accepted" : found.error.pointer).toBe(pointer);
  });

  test.each([
    ["a channel that is on and off", JSON.stringify(V2).replace("{", '{"secureChannelEnabled":false,')],
    ["a mode given twice", JSON.stringify({ ...V2, authorizationRules: { imds: ITEM } }).replace('"mode"', '"mode":"disabled","mode"')],
    ["deep nesting", JSON.stringify({ ...V2, more: JSON.parse(`${"[".repeat(64)}${"]".repeat(64)}`) })],
    ["very deep nesting", "[".repeat(100_000)],
    ["too long a text", JSON.stringify({ ...V2, more: "x".repeat(MAX_STATUS_BYTES) })],
  ])("T-74: refuses %s", (_what, text) => {
    const found = parseKeyStatus(text);
    expect(found.ok ? "accepted" : renderStatusError(found.error)).toStartWith(
      "cannot read secure channel status: found text that is not strict JSON",
    );
  });
});
