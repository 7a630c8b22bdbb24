// Laws of merging local rule files, on random pairs of a platform item and a file: the result is what the platform's parser
// takes, nothing is allowed that neither side grants nor leaves to default access, and only the platform's mode counts.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { LOCAL_NAME_PREFIX, mergeLocalRules, parseLocalRules } from "../../proxy/core/rules/local-rules.ts";
import { parseRuleItem } from "../../proxy/core/rules/rules.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { randomCaller, randomItem, randomRequest } from "../support/rule-cases.ts";
import { evaluatePlainly, type PlainItem } from "../support/rule-evaluator.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SEED = 20_260_312;

/** As a file must be: names defined, lists filled, nothing blank. */
function tidyFile(random: Random): Record<string, unknown> {
  const { rules } = randomItem(random, { untidy: false });
  const texts = (found: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(found).filter(([name, value]) => name.trim() !== "" && value.trim() !== ""));
  const privileges = rules.privileges.map(({ queryParameters, ...one }) => ({
    ...one,
    path: one.path.trim() === "" ? "/" : one.path,
    ...(queryParameters === undefined ? {} : { queryParameters: texts(queryParameters) }),
  }));
  const once = (names: readonly string[]) => [...new Set(names)];
  const roles = rules.roles.filter((role) => role.privileges.length > 0).map((role) => ({ ...role, privileges: once(role.privileges) }));
  const known = new Set(roles.map(({ name }) => name));
  const roleAssignments = rules.roleAssignments
    .filter(({ role, identities }) => known.has(role) && identities.length > 0)
    .map((one) => ({ ...one, identities: once(one.identities) }));
  return {
    ...(random.oneIn(3) ? { id: "loc" } : {}),
    ...(random.oneIn(3) ? { defaultAccess: random.pick(["allow", "deny"]) } : {}),
    ...(random.oneIn(10) ? {} : { rules: { privileges, roles, identities: rules.identities, roleAssignments } }),
  };
}

/** The platform is free to use our prefix, too, and to leave references open. */
function platformItem(random: Random): PlainItem {
  const item = randomItem(random, { untidy: true });
  if (!random.oneIn(4)) return item;
  const text = JSON.stringify(item).replace(/"([pri][0-9]+)"/g, (all, name) => (random.oneIn(4) ? `"${LOCAL_NAME_PREFIX}${name}"` : all));
  return JSON.parse(text);
}

describe(`T-73: merging local rules (seed ${SEED})`, () => {
  test("allows nothing that neither side grants nor the default access in force leaves open", () => {
    const random = seededRandom(SEED);
    const seen = { refusedFile: 0, refusedNames: 0, granted: 0, denied: 0, byDefault: 0 };
    for (let set = 0; set < 1500; set++) {
      const remote = platformItem(random);
      const file = tidyFile(random);
      const local = parseLocalRules(Buffer.from(JSON.stringify(file)));
      if (!local.ok) {
        seen.refusedFile++;
        continue;
      }
      const found = mergeLocalRules({ ...remote }, "x", local.value);
      if (!found.ok) {
        seen.refusedNames++;
        expect(JSON.stringify(remote)).toContain(LOCAL_NAME_PREFIX);
        continue;
      }
      const parsed = parseRuleItem(found.value);
      if (!parsed.ok) throw new Error(`cannot parse what was merged: ${JSON.stringify({ remote, file, error: parsed.error })}`);
      expect(parsed.value.mode).toBe("enforce");
      const merged = found.value as unknown as PlainItem;
      const alone = { ...remote, rules: (file.rules ?? EMPTY) as PlainItem["rules"] };
      for (let k = 0; k < 30; k++) {
        const caller = randomCaller(random);
        const { plain } = randomRequest(random);
        const [whole, ofPlatform, ofFile] = [merged, remote, alone].map((one) => evaluatePlainly(one, caller, plain));
        const grantedByOne = ofPlatform?.reason === "granted" || ofFile?.reason === "granted";
        const openToAll = ofPlatform?.reason.startsWith("default-") && ofFile?.reason.startsWith("default-");
        if (whole?.reason === "granted") seen.granted++;
        else if (whole?.reason.startsWith("default-")) seen.byDefault++;
        else seen.denied++;
        // A grant of one side holds unless the other makes the query ambiguous; a default counts only where neither side speaks.
        const right =
          whole?.reason === "granted"
            ? grantedByOne
            : whole?.reason.startsWith("default-")
              ? openToAll
              : !openToAll || whole?.kind === "deny";
        if (!right) throw new Error(`widened: ${JSON.stringify({ set, k, remote, file, caller, plain, whole, ofPlatform, ofFile })}`);
      }
    }
    for (const branch of ["refusedNames", "granted", "denied", "byDefault"] as const)
      expect([branch, seen[branch] > 100]).toEqual([branch, true]);
    // What the generator makes is nearly always a good file.
    expect(seen.refusedFile).toBeLessThan(300);
  });

  test("whatever the platform sends, rules of its that are refused are refused with a file merged in, too", () => {
    const random = seededRandom(SEED + 1);
    let refused = 0;
    for (let i = 0; i < 2000; i++) {
      const remote = spoil(random, platformItem(random));
      const local = parseLocalRules(Buffer.from(JSON.stringify(tidyFile(random))));
      if (!local.ok || parseRuleItem(remote).ok) continue;
      refused++;
      // The file's own word for default access may stand in for a broken one; nothing else may be made good.
      const merged = mergeLocalRules(remote, "x", { ...local.value, defaultAccess: undefined });
      expect([remote, merged.ok && parseRuleItem(merged.value).ok]).toEqual([remote, false]);
    }
    expect(refused).toBeGreaterThan(500);
  });
});

const EMPTY = { privileges: [], roles: [], identities: [], roleAssignments: [] };

function spoil(random: Random, item: PlainItem): Record<string, unknown> {
  const odd = random.pick([null, 7, "x", [], {}, [null], [{}], true] as const);
  const section = random.pick(["privileges", "roles", "identities", "roleAssignments"] as const);
  return random.pick<Record<string, unknown>>([
    { ...item, rules: odd },
    { ...item, rules: { ...item.rules, [section]: odd } },
    { ...item, mode: odd },
    { ...item, defaultAccess: odd },
    { ...item, rules: { privileges: odd, roles: odd, identities: odd, roleAssignments: odd } },
  ]);
}
