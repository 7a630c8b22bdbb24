// Warns of rules that the agent accepts but that probably do not do what their author meant: parts without effect, identities that are
// weak or that no caller can fit, restrictions that are easily taken for more than they are. Never an error.

import { ENDPOINT_FACTS, type Endpoint } from "../../core/request/endpoint.ts";
import { SELECTORS } from "../../core/rules/rule-parts.ts";
import type { Identity, Privilege, RuleSet } from "../../core/rules/rules.ts";
import { count, quote } from "../../core/text/text-layout.ts";
import { isInterpreter } from "./callers.ts";
import type { Finding } from "./rule-finding.ts";

/** Below this, default allow leaves most of an endpoint open. */
const FEW_PRIVILEGES = 10;
/** A decision names privilege and identity; the agent takes no longer name than 4096 bytes and denies instead. */
const MAX_NAME_BYTES = 2_000;
/** Pairs of privileges that are compared before giving up. */
const MAX_COMPARISONS = 2_000_000;

export function findEffects(rules: RuleSet, endpoint: Endpoint): readonly Finding[] {
  const holders = holdersOf(rules);
  return [
    ...rules.privileges.flatMap((privilege, i) => judgePrivilege(privilege, `/rules/privileges/${i}`)),
    ...rules.identities.flatMap((identity, i) => judgeIdentity(identity, `/rules/identities/${i}`, endpoint)),
    ...findUnused(rules, holders),
    ...findShadowed(rules, holders),
    ...judgeWhole(rules),
  ];
}

type Holders = readonly ReadonlySet<number>[];

/** Identities that hold each privilege. */
function holdersOf(rules: RuleSet): Holders {
  const holders = rules.privileges.map(() => new Set<number>());
  for (const role of rules.roles)
    for (const privilege of role.privileges) for (const identity of role.identities) holders[privilege]?.add(identity);
  return holders;
}

function judgePrivilege({ name, segments, query }: Privilege, pointer: string): readonly Finding[] {
  const findings: Finding[] = [...judgeName(name, pointer)];
  if (segments.length === 0 && query.length === 0)
    findings.push(warn("covers-everything", `${pointer}/path`, "this path covers every request"));
  if (segments.some((segment) => segment.includes("*")))
    findings.push(
      warn(
        "no-wildcards",
        `${pointer}/path`,
        '"*" is an ordinary character: paths have no wildcards, and a path covers all below it anyway',
      ),
    );
  if (query.some(({ value }) => value.includes("*")))
    findings.push(
      warn(
        "no-wildcards",
        `${pointer}/queryParameters`,
        '"*" is an ordinary character: values have no wildcards; name no parameter to take any value',
      ),
    );
  return findings;
}

function judgeName(name: string, pointer: string): readonly Finding[] {
  if (new TextEncoder().encode(name).length > MAX_NAME_BYTES)
    return [
      warn("long-name", `${pointer}/name`, `a name longer than ${MAX_NAME_BYTES} bytes may not fit into a decision, which is then a deny`),
    ];
  return name.trim() === "" ? [warn("blank-name", `${pointer}/name`, "the name is blank; no log line can name this rule")] : [];
}

function judgeIdentity(identity: Identity, pointer: string, endpoint: Endpoint): readonly Finding[] {
  const findings: Finding[] = [...judgeName(identity.name, pointer)];
  const { userName, exePath, processName } = identity;
  const named = SELECTORS.filter((selector) => identity[selector] !== undefined);
  const only = named.length === 1 ? named[0] : undefined;
  if (only === "processName")
    findings.push(
      warn(
        "weak-identity",
        `${pointer}/processName`,
        "processName is only the file's name: anybody can give a program that name; add userName, groupName or exePath",
      ),
    );
  if (only === "exePath" || only === "exeSha256")
    findings.push(note("program-only", pointer, "whoever may start this program is this identity; add userName or groupName to say who"));
  if (exePath !== undefined && isInterpreter(exePath))
    findings.push(
      warn("interpreter", `${pointer}/exePath`, `${quote(exePath)} is an interpreter: every script that runs in it looks alike`),
    );
  if (exePath?.split("/").includes(".."))
    findings.push(
      warn("never-fits", `${pointer}/exePath`, `${quote(exePath)} has ".." in it; the agent sees paths without, so it never fits`),
    );
  if (processName?.includes("/"))
    findings.push(
      warn(
        "never-fits",
        `${pointer}/processName`,
        `${quote(processName)} has "/" in it; a process name is the last component of a path, so it never fits`,
      ),
    );
  else if (exePath !== undefined && processName !== undefined && exePath.slice(exePath.lastIndexOf("/") + 1) !== processName)
    findings.push(
      warn("never-fits", `${pointer}/processName`, `exePath ${quote(exePath)} has another last component, so nobody fits both`),
    );
  if (ENDPOINT_FACTS[endpoint].rootOnly && userName !== undefined && userName !== "root")
    findings.push(
      warn(
        "not-root",
        `${pointer}/userName`,
        `only root gets as far as these rules on ${ENDPOINT_FACTS[endpoint].title}; ${quote(userName)} does not unless it has user id 0`,
      ),
    );
  return findings;
}

function findUnused(rules: RuleSet, holders: Holders): readonly Finding[] {
  const shadowed = new Set(rules.warnings.filter(({ kind }) => kind.startsWith("duplicate-")).map(({ pointer }) => pointer));
  const used = new Set(rules.roles.flatMap(({ identities }) => identities));
  const granted = new Set(rules.roles.flatMap(({ privileges }) => privileges));
  const findings: Finding[] = [];
  rules.privileges.forEach(({ name }, i) => {
    const pointer = `/rules/privileges/${i}`;
    if (shadowed.has(pointer) || (holders[i]?.size ?? 0) > 0) return;
    const why = granted.has(i) ? "its roles are assigned to nobody" : "no role has it";
    findings.push(
      warn("granted-to-nobody", pointer, `${quote(name)} is granted to nobody (${why}): what it covers is denied to everybody`),
    );
  });
  rules.identities.forEach(({ name }, i) => {
    const pointer = `/rules/identities/${i}`;
    if (!shadowed.has(pointer) && !used.has(i)) findings.push(warn("unused-identity", pointer, `${quote(name)} is in no role assignment`));
  });
  // With two roles of one name the rule set no longer shows which of them stood where.
  const inOrder = !rules.warnings.some(({ kind }) => kind === "duplicate-role");
  for (const [i, role] of rules.roles.entries()) {
    const pointer = inOrder ? `/rules/roles/${i}` : "/rules/roles";
    if (role.identities.length === 0) findings.push(warn("unassigned-role", pointer, `role ${quote(role.name)} is assigned to nobody`));
    else if (role.privileges.length === 0) findings.push(warn("empty-role", pointer, `role ${quote(role.name)} has no privileges`));
  }
  return findings;
}

/** Privileges that grant nothing that a broader one does not: they can be removed, or were meant to narrow, which they do not. */
function findShadowed(rules: RuleSet, holders: Holders): readonly Finding[] {
  const findings: Finding[] = [];
  const byPath = new Map<string, number[]>();
  rules.privileges.forEach(({ segments }, i) => {
    const key = segments.join("/");
    const list = byPath.get(key);
    if (list === undefined) byPath.set(key, [i]);
    else list.push(i);
  });
  let comparisons = 0;
  for (const [i, privilege] of rules.privileges.entries()) {
    const held = holders[i] ?? new Set();
    if (held.size === 0) continue;
    const broader = prefixesOf(privilege.segments)
      .flatMap((key) => byPath.get(key) ?? [])
      .find((k) => ++comparisons <= MAX_COMPARISONS && k !== i && isBroader(rules, holders, k, i));
    if (comparisons > MAX_COMPARISONS) {
      findings.push(
        note(
          "not-compared",
          "/rules/privileges",
          "too many privileges to compare each with each: some may be shadowed by broader ones unseen",
        ),
      );
      break;
    }
    if (broader === undefined) continue;
    const name = rules.privileges[broader]?.name ?? "";
    findings.push(
      warn(
        "shadowed",
        `/rules/privileges/${i}`,
        `${quote(privilege.name)} grants nobody anything that the broader ${quote(name)} does not grant already`,
      ),
    );
  }
  return findings;
}

function prefixesOf(segments: readonly string[]): readonly string[] {
  return Array.from({ length: segments.length + 1 }, (_, length) => segments.slice(0, length).join("/"));
}

/** Does the first cover all that the second does, for everybody who has the second? Of two that are equal the first in the file is broader. */
function isBroader(rules: RuleSet, holders: Holders, first: number, second: number): boolean {
  const [broad, narrow] = [rules.privileges[first], rules.privileges[second]];
  const [broadHolders, narrowHolders] = [holders[first], holders[second]];
  if (broad === undefined || narrow === undefined || broadHolders === undefined || narrowHolders === undefined) return false;
  if (!coversAllOf(broad, narrow) || !narrowHolders.isSubsetOf(broadHolders)) return false;
  const equal = coversAllOf(narrow, broad) && broadHolders.isSubsetOf(narrowHolders);
  return !equal || first < second;
}

function coversAllOf(broad: Privilege, narrow: Privilege): boolean {
  const { methods } = broad;
  return (
    broad.segments.length <= narrow.segments.length &&
    broad.query.every(({ name, value }) => narrow.query.some((pair) => pair.name === name && pair.value === value)) &&
    (methods === undefined || narrow.methods?.every((method) => methods.includes(method)) === true)
  );
}

function judgeWhole(rules: RuleSet): readonly Finding[] {
  const findings: Finding[] = [];
  const { mode, defaultAccess, privileges } = rules;
  if (defaultAccess === "allow" && privileges.length < FEW_PRIVILEGES) {
    const open =
      privileges.length === 0 ? "everything: there are no privileges" : `all that ${count(privileges.length, "privilege")} here leave open`;
    findings.push(note("default-allow", "/defaultAccess", `default allow: everybody may ask for ${open}`));
  }
  if (mode === "audit") findings.push(note("audit", "/mode", "audit: what these rules deny is forwarded and recorded"));
  if (mode === "disabled") findings.push(note("disabled", "/mode", "disabled: these rules protect nothing"));
  return findings;
}

function warn(kind: string, pointer: string, message: string): Finding {
  return { level: "warning", kind, pointer, message };
}

function note(kind: string, pointer: string, message: string): Finding {
  return { level: "note", kind, pointer, message };
}
