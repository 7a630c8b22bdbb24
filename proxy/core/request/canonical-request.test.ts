import { describe, expect, test } from "bun:test";
import vectors from "../../../test/vectors/canonical.json";
import { canonicalise, canonicalisePath, canonicaliseQuery, renderCanonical } from "./canonical-request.ts";
import { splitTarget } from "./request-target.ts";

type Vector = (typeof vectors.vectors)[number] & {
  readonly error?: string;
  readonly canonical?: {
    readonly destination: string;
    readonly pathSegments: readonly string[];
    readonly trailingSlash: boolean;
    readonly query: Readonly<Record<string, readonly string[]>>;
    readonly rendered: string;
  };
};

/** The whole pipeline for a target that may name any host, as the vectors are written. */
function read(method: string, url: string) {
  const parts = splitTarget(url);
  if (!parts.ok) return { error: parts.error };
  const { destination } = parts.value;
  const guarded = destination === "origin-form" || destination === "unknown" ? "imds" : destination;
  const request = canonicalise(guarded, method, destination === "unknown" ? url.replace(/^http:\/\/[^/?]*/i, "") : url);
  return request.ok
    ? { request: request.value, destination: destination === "origin-form" ? "unknown" : destination }
    : { error: request.error };
}

describe("canonicalise", () => {
  test.each(vectors.vectors.map((vector) => [vector.id, vector as Vector] as const))("T-60: reads vector %s", (_id, vector) => {
    const found = read(vector.method, vector.url);
    if (vector.canonical === undefined) {
      expect(found.error).toBe(vector.error as never);
      return;
    }
    expect(found.error).toBeUndefined();
    expect(found.destination).toBe(vector.canonical.destination as never);
    expect(["", ...(found.request?.segments ?? [])]).toEqual([...vector.canonical.pathSegments]);
    expect(found.request?.trailingSlash).toBe(vector.canonical.trailingSlash);
    for (const [name, values] of Object.entries(vector.canonical.query)) {
      expect(found.request?.query.filter((pair) => pair.name === name).map((pair) => pair.value)).toEqual([...values]);
    }
    expect(new Set(found.request?.query.map((pair) => pair.name))).toEqual(new Set(Object.keys(vector.canonical.query)));
    expect(found.request && renderCanonical(found.request)).toBe(vector.canonical.rendered);
  });

  test.each(["/metadata\\identity", "/metadata%5Cidentity", "/a%5c..%5cb"])("refuses the backslash in %p", (path) => {
    expect(canonicalisePath(path)).toEqual({ ok: false, error: "CANON_BACKSLASH" });
  });

  test.each([
    ["http://evil.example/metadata/instance", "CANON_DESTINATION"],
    ["http://168.63.129.16/metadata/instance", "CANON_DESTINATION"],
    ["http://169.254.169.254:32526/metadata/instance", "CANON_DESTINATION"],
    ["http://[::ffff:168.63.129.16]/x", "CANON_DESTINATION"],
    ["http://[::1/x", "CANON_HOST"],
    ["http://[::ffff:169.254.169.254]x/x", "CANON_HOST"],
    ["http:///x", "CANON_HOST"],
    ["http://169.254.169.254:/x", undefined],
    ["http://169.254.169.254:8 0/x", "CANON_PORT"],
    ["http://[1::2::3]/x", "CANON_HOST"],
    ["http://[1:2:3:4:5:6:7:8:9]/x", "CANON_HOST"],
    ["http://256.1.1.1/x", "CANON_HOST"],
    ["http://4294967296/x", "CANON_HOST"],
    ["ftp://169.254.169.254/x", "CANON_SCHEME"],
  ])("T-61: an absolute-form target must name the endpoint it was sent to: %s", (target, error) => {
    const found = canonicalise("imds", "GET", target);
    expect(found.ok ? undefined : found.error).toBe(error as never);
  });

  test("a byte order mark in a parameter is kept, not silently dropped", () => {
    expect(canonicaliseQuery("k=%EF%BB%BFa")).toEqual({ ok: true, value: [{ name: "k", value: "\ufeffa" }] });
  });

  test("canonicalising what was rendered changes nothing", () => {
    for (const { url, method } of vectors.vectors) {
      const once = read(method, url);
      if (once.request === undefined) continue;
      const twice = canonicalise(once.request.endpoint, method, renderCanonical(once.request));
      expect(twice).toEqual({ ok: true, value: { ...once.request, query: twice.ok ? twice.value.query : [] } });
      expect(twice.ok && renderCanonical(twice.value)).toBe(renderCanonical(once.request));
    }
  });

  // A step that is quadratic in the length needs minutes for these; the runner's own time limit is what fails then.
  test.each([
    `http://${".".repeat(60_000)}x/`,
    `http://169.254.169.254${".".repeat(60_000)}x/`,
    `http://[${":".repeat(60_000)}]/`,
    `http://${"1".repeat(60_000)}/`,
    `/${"a/".repeat(30_000)}`,
    `/${"a/../".repeat(12_000)}`,
    `/${";".repeat(60_000)}`,
    `/${"%41".repeat(20_000)}`,
    `/?${"&".repeat(60_000)}`,
    `/?${"=".repeat(60_000)}`,
    `/?${"a=b&".repeat(15_000)}`,
  ])(
    "stays linear on 64 KiB of %#",
    (target) => {
      const once = canonicalise("imds", "GET", target);
      for (let n = 0; n < 50; n++) expect(canonicalise("imds", "GET", target).ok).toBe(once.ok);
    },
    10_000,
  );
});

test("T-162: rendering looks at each parameter a few times, however many there are, and keeps the order of equal names", () => {
  let looks = 0;
  const count = 4_000;
  const query = Array.from({ length: count }, (_, n) => ({
    get name() {
      looks++;
      return `p${(n * 7919) % 2_000}`;
    },
    value: String(n),
  }));
  const rendered = renderCanonical({ segments: ["x"], trailingSlash: false, query });
  const pairs = rendered.slice(3).split("&");
  expect(pairs.slice(0, 3)).toEqual(["p0=0", "p0=2000", `p1=${pairs[2]?.slice(3)}`]);
  expect(pairs.length).toBe(count);
  expect(looks).toBeLessThan(count * 4 * Math.ceil(Math.log2(count)));
});
