// The JSON Schema of rule files against the parser that decides: what the parser takes, the schema must take; what the parser
// refuses for its shape, the schema must refuse. What only reading tells (paths that climb above the root, parameters that are
// equal once decoded, names that are wrong elsewhere) is the parser's alone.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import Ajv2020 from "ajv/dist/2020.js";
import schema from "../../policy-wasm/schema/rules.schema.json" with { type: "json" };
import { parseRuleItem, type RuleError } from "../../proxy/core/rules/rules.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { randomItem } from "../support/rule-cases.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";
import authorization from "../vectors/authorization.json" with { type: "json" };
import localRules from "../vectors/local-rules.json" with { type: "json" };

setDefaultTimeout(BUSY_MACHINE_MS);

const SEED = 20_260_501;
const MUTATIONS = 20_000;

const ajv = new Ajv2020({ allErrors: false, strict: true, strictTypes: false, strictRequired: false });
const validate = ajv.compile(schema);

type Form = keyof (typeof schema)["$defs"];

function fits(form: Form | "any", json: unknown): boolean {
  const found = form === "any" ? validate : ajv.getSchema(`${schema.$id}#/$defs/${form}`);
  if (found === undefined) throw new Error(`no definition "${form}"`);
  return found(json) === true;
}

/** The parser's refusals that a schema can know. Of the others it may know some. */
const STRUCTURAL: readonly RuleError["kind"][] = [
  "wrong-type",
  "missing",
  "unknown-word",
  "incomplete-rules",
  "no-selector",
  "empty-selector",
  "unclear-hash",
  "unclear-unit",
  "unclear-cgroup",
  "empty-list",
  "repeated",
];

/** Local files that the reference takes, and we do not describe as valid: a padded word means something else to it than it says. */
const NOT_DESCRIBED = ["L08"];

describe("the schema of rule files", () => {
  test.each(Object.entries(authorization.ruleSets))("agrees with the parser on rule set %s of the vectors", (name, item) => {
    expect([name, fits("platformItem", item)]).toEqual([name, parseRuleItem(item).ok]);
  });

  test.each(localRules.vectors.filter(({ remote }) => remote !== null).map(({ id, remote }) => [id, remote] as const))(
    "agrees with the parser on the remote item of %s",
    (_, remote) => {
      expect(fits("platformItem", remote)).toBe(parseRuleItem(remote).ok);
      expect(fits("any", remote)).toBe(parseRuleItem(remote).ok);
    },
  );

  test.each(
    localRules.vectors.flatMap(({ id, localFile, failClosed }) => {
      try {
        return [[id, JSON.parse((localFile ?? "").replace(/^\ufeff/, "")) as unknown, failClosed] as const];
      } catch {
        return [];
      }
    }),
  )("tells good local files from bad ones: %s", (id, file, failClosed) => {
    expect(fits("localFile", file)).toBe(!failClosed && !NOT_DESCRIBED.includes(id) && !isIncomplete(file));
  });

  test("takes a version of an ARM profile with and without its resource", () => {
    const version = {
      ...{ mode: "Audit", defaultAccess: "Deny", osType: "Linux", applicableHostEndpoint: "IMDS", excludeFromLatest: false },
      rules: randomItem(seededRandom(SEED), { untidy: false, plain: true }).rules,
      targetLocations: [{ name: "westeurope" }],
    };
    const resource = { id: "/subscriptions/x", name: "1.0.0", location: "westeurope", properties: version };
    for (const json of [version, resource]) expect([fits("any", json), json]).toEqual([true, json]);
    for (const broken of [
      { ...version, mode: "Strict" },
      { ...version, defaultAccess: undefined },
      { ...version, rules: { privileges: [] } },
    ]) {
      expect(fits("any", broken)).toBe(false);
      expect(fits("any", { ...resource, properties: broken })).toBe(false);
    }
  });

  test("takes the rules of all endpoints, and looks into each", () => {
    const item = randomItem(seededRandom(SEED), { untidy: false });
    for (const rules of [{ imds: item }, { imds: item, wireserver: item, hostga: null }]) {
      expect(fits("any", rules)).toBe(true);
      expect(fits("any", { authorizationRules: rules })).toBe(true);
    }
    const { id: _, ...nameless } = item;
    expect(fits("any", { wireserver: nameless })).toBe(false);
    expect(fits("any", { authorizationRules: { wireserver: nameless } })).toBe(false);
    expect(fits("any", { authorizationRules: [] })).toBe(false);
  });

  test.each([[null], [[]], ["rules"], [1], [true]])("is not met by %p", (json: unknown) => {
    expect(fits("any", json)).toBe(false);
  });

  test("takes what the parser takes and refuses what it refuses for its shape, on damaged items", () => {
    const random = seededRandom(SEED);
    const seen = { taken: 0, refused: 0, byReading: 0 };
    for (let i = 0; i < MUTATIONS; i++) {
      const item = structuredClone(randomItem(random, { untidy: true, plain: i % 3 === 0 })) as unknown;
      for (let changes = random.below(3); changes >= 0; changes--) damage(random, item);
      const parsed = parseRuleItem(item);
      const valid = fits("platformItem", item);
      const where = JSON.stringify(item);
      if (parsed.ok) {
        seen.taken++;
        if (!valid) throw new Error(`the schema refuses what the parser takes: ${where}`);
      } else if (STRUCTURAL.includes(parsed.error.kind)) {
        seen.refused++;
        if (valid) throw new Error(`the schema takes what the parser refuses: ${JSON.stringify(parsed.error)} in ${where}`);
      } else seen.byReading++;
    }
    expect(Math.min(seen.taken, seen.refused, seen.byReading)).toBeGreaterThan(200);
  });
});

/** Rules without one of the four sections mean nothing by themselves. */
function isIncomplete(file: unknown): boolean {
  const rules: unknown = Object(file).rules;
  return rules !== undefined && Object.keys(Object(rules)).length % 4 !== 0;
}

const ODD = [
  ...[null, 0, 1.5, true, "", " ", "x", "/", "/a/../..", "/a?b", "%", "%41", "%ff", "é", "a\0", "\ufffd", "deny", "Enforce", "GET", "get"],
  ...[
    "*",
    "nginx.service",
    "nginx",
    "/a",
    "/a/./b",
    "//a//",
    "/..",
    "ab".repeat(32),
    [],
    ["GET"],
    ["get", "GET"],
    {},
    { k: "v" },
    { K: null },
  ],
];
const NAMES = ["name", "path", "method", "queryParameters", "exeSha256", "systemdUnit", "cgroupPath", "userName", "mode", "rules", "roles"];

/** Changes one thing somewhere: a value replaced, a member or element taken away or added. */
function damage(random: Random, json: unknown): void {
  const places = containersOf(json);
  const place = places[random.below(places.length)];
  if (place === undefined) return;
  const odd = structuredClone(ODD[random.below(ODD.length)]);
  if (Array.isArray(place)) {
    if (random.oneIn(3)) place.push(odd);
    else if (place.length > 0 && random.oneIn(2)) place.splice(random.below(place.length), 1);
    else if (place.length > 0) place[random.below(place.length)] = odd;
    return;
  }
  const members = Object.keys(place);
  const name = members.length > 0 && !random.oneIn(3) ? members[random.below(members.length)] : NAMES[random.below(NAMES.length)];
  if (name === undefined) return;
  if (random.oneIn(3)) delete place[name];
  else place[name] = odd;
}

function containersOf(json: unknown): (unknown[] | Record<string, unknown>)[] {
  if (Array.isArray(json)) return [json, ...json.flatMap(containersOf)];
  if (typeof json !== "object" || json === null) return [];
  return [json as Record<string, unknown>, ...Object.values(json).flatMap(containersOf)];
}
