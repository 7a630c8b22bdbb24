// Reads `nft -j list ruleset` and follows one packet through it.

import { isObject } from "../../core/text/json-text.ts";
import {
  addressFits,
  allOf,
  byPolicy,
  type FilterRule,
  type Fit,
  negated,
  type Packet,
  type Passage,
  walkChain,
  worstPassage,
} from "./packet-path.ts";

const FAMILIES = ["ip", "inet"];
type Members = Readonly<Record<string, unknown>>;

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook: string | undefined;
  readonly policy: string | undefined;
  readonly rules: Members[];
}

/** @param ruleset - parsed JSON; what does not have the tool's form is passed over */
export function passageThroughNftables(ruleset: unknown, packet: Packet): Passage {
  const chains = readChains(ruleset);
  return worstPassage(
    [...chains.values()]
      .filter(({ hook }) => hook === packet.hook)
      .map((base): Passage => {
        const rulesOf = (name: string) =>
          chains.get(keyOf(base.family, base.table, name))?.rules.map((rule) => parseRule(base, rule, packet)) ?? [];
        const rule = `table ${base.family} ${base.table}: policy of ${base.name} is drop`;
        return byPolicy(walkChain(rulesOf, base.name), base.policy === "drop", rule);
      }),
  );
}

function keyOf(family: string, table: string, chain: string): string {
  return JSON.stringify([family, table, chain]);
}

function readChains(ruleset: unknown): ReadonlyMap<string, Chain> {
  const chains = new Map<string, Chain>();
  const items = isObject(ruleset) && Array.isArray(ruleset.nftables) ? ruleset.nftables.filter(isObject) : [];
  for (const { chain } of items) {
    if (!isObject(chain) || !FAMILIES.includes(String(chain.family))) continue;
    const [family, table, name] = [String(chain.family), String(chain.table), String(chain.name)];
    const hook = typeof chain.hook === "string" ? chain.hook : undefined;
    const policy = typeof chain.policy === "string" ? chain.policy : undefined;
    chains.set(keyOf(family, table, name), { family, table, name, hook, policy, rules: [] });
  }
  for (const { rule } of items) {
    if (isObject(rule)) chains.get(keyOf(String(rule.family), String(rule.table), String(rule.chain)))?.rules.push(rule);
  }
  return chains;
}

function parseRule(chain: Chain, rule: Members, packet: Packet): FilterRule {
  const expressions = Array.isArray(rule.expr) ? rule.expr.filter(isObject) : [];
  const fits: Fit[] = [];
  let action: FilterRule["action"] = { kind: "continue" };
  for (const expression of expressions) {
    if ("match" in expression) fits.push(isObject(expression.match) ? matchFits(expression.match, packet) : "unknown");
    else if ("accept" in expression) action = { kind: "accept" };
    else if ("drop" in expression || "reject" in expression) action = { kind: "drop" };
    else if ("return" in expression) action = { kind: "return" };
    else if ("jump" in expression || "goto" in expression) {
      const target = expression.jump ?? expression.goto;
      action = isObject(target) ? { kind: "jump", chain: String(target.target) } : { kind: "unknown" };
      // Rules of iptables that nft cannot put into words, and lookups with verdicts of their own.
    } else if ("xt" in expression || "vmap" in expression) {
      fits.push("unknown");
      action = { kind: "unknown" };
    }
  }
  const text = `table ${chain.family} ${chain.table} chain ${chain.name}: ${JSON.stringify(rule.expr)}`;
  return { text: text.length > 300 ? `${text.slice(0, 300)}…` : text, fit: allOf(fits), action };
}

function matchFits({ op, left, right }: Members, packet: Packet): Fit {
  const value = fieldOf(left, packet);
  if (value === undefined) return "unknown";
  const fit = rightFits(value, right);
  if (op === "==" || op === "in") return fit;
  return op === "!=" ? negated(fit, true) : "unknown";
}

/** The packet's field that a rule compares; `state` stands for the connection's state. */
function fieldOf(left: unknown, packet: Packet): string | number | undefined {
  if (!isObject(left)) return undefined;
  const { payload, meta, ct } = left;
  if (isObject(payload)) {
    if (payload.field === "daddr") return packet.destination;
    if (payload.field === "dport") return packet.port;
    return payload.field === "protocol" ? "tcp" : undefined;
  }
  if (isObject(meta)) {
    if (meta.key === "skuid") return packet.hook === "output" ? packet.uid : undefined;
    if (meta.key === "l4proto") return "tcp";
    if (meta.key === "oifname" || meta.key === "oif") return packet.loopback && packet.hook === "output" ? "lo" : undefined;
    if (meta.key === "iifname" || meta.key === "iif") return packet.loopback && packet.hook === "input" ? "lo" : undefined;
    return undefined;
  }
  return isObject(ct) && ct.key === "state" ? "new" : undefined;
}

function rightFits(value: string | number, right: unknown): Fit {
  if (Array.isArray(right)) return anyFits(value, right);
  if (isObject(right)) {
    if (Array.isArray(right.set)) return anyFits(value, right.set);
    if (isObject(right.prefix)) return addressFits(String(value), `${String(right.prefix.addr)}/${String(right.prefix.len)}`);
    if (Array.isArray(right.range)) {
      const [from, to] = right.range.map(Number);
      if (typeof value !== "number" || from === undefined || to === undefined) return "unknown";
      return value >= from && value <= to ? "yes" : "no";
    }
    return "unknown";
  }
  if (typeof value === "number") return Number(right) === value || (value === 0 && right === "root") ? "yes" : numericOr(right);
  // A named set: what is in it stands elsewhere.
  if (String(right).startsWith("@")) return "unknown";
  return String(right) === value ? "yes" : "no";
}

/** A name that stands for a number we do not know is no "no". */
function numericOr(right: unknown): Fit {
  return Number.isNaN(Number(right)) ? "unknown" : "no";
}

function anyFits(value: string | number, choices: readonly unknown[]): Fit {
  const fits = choices.map((each) => rightFits(value, each));
  if (fits.includes("yes")) return "yes";
  return fits.includes("unknown") ? "unknown" : "no";
}
