// Reads `iptables-save` and follows one packet through it.

import {
  addressFits,
  allOf,
  byPolicy,
  type FilterRule,
  type Fit,
  negated,
  PASSES,
  type Packet,
  type Passage,
  walkChain,
  worstPassage,
} from "./packet-path.ts";

/** Tables that see locally made connections before they leave, in no order that matters here: each must let it pass. */
const TABLES = ["raw", "mangle", "filter", "security"];
const MAX_LINES = 50_000;

interface Table {
  readonly policies: Map<string, string>;
  readonly rules: Map<string, string[]>;
}

export function passageThroughIptables(saved: string, packet: Packet): Passage {
  const tables = readTables(saved);
  const chain = packet.hook === "output" ? "OUTPUT" : "INPUT";
  return worstPassage(
    TABLES.map((name): Passage => {
      const table = tables.get(name);
      if (table === undefined) return PASSES;
      const rulesOf = (each: string) => (table.rules.get(each) ?? []).map((text) => parseRule(text, packet, table));
      const drops = table.policies.get(chain) === "DROP";
      return byPolicy(walkChain(rulesOf, chain), drops, `table ${name}: policy of ${chain} is DROP`);
    }),
  );
}

function readTables(saved: string): ReadonlyMap<string, Table> {
  const tables = new Map<string, Table>();
  let current: Table | undefined;
  for (const line of saved.split("\n", MAX_LINES)) {
    if (line.startsWith("*")) {
      current = { policies: new Map(), rules: new Map() };
      tables.set(line.slice(1).trim(), current);
    } else if (line.startsWith(":")) {
      const [name = "", policy = ""] = line.slice(1).split(" ");
      current?.policies.set(name, policy);
    } else if (line.startsWith("-A ")) {
      const [, name = ""] = line.split(" ");
      const rules = current?.rules.get(name) ?? [];
      rules.push(line);
      current?.rules.set(name, rules);
    }
  }
  return tables;
}

/** Matches whose value we can compare; each decides whether the packet fits it. */
const MATCHES: Readonly<Record<string, (packet: Packet, value: string) => Fit>> = {
  "-d": ({ destination }, value) => addressFits(destination, value),
  "-p": (_packet, value) => (value === "tcp" || value === "all" ? "yes" : "no"),
  "--dport": ({ port }, value) => portFits(port, value),
  "--dports": ({ port }, value) => anyOf(value.split(",").map((each) => portFits(port, each))),
  "--uid-owner": ({ uid }, value) => ownerFits(uid, value),
  "--ctstate": (_packet, value) => (value.split(",").includes("NEW") ? "yes" : "no"),
  "--state": (_packet, value) => (value.split(",").includes("NEW") ? "yes" : "no"),
  "-o": ({ hook, loopback }, value) => (hook === "output" ? interfaceFits(loopback, value) : "no"),
  "-i": ({ hook, loopback }, value) => (hook === "input" ? interfaceFits(loopback, value) : "no"),
};
/** Words that narrow nothing by themselves. */
const WITHOUT_MEANING = new Set(["-A", "-m", "--comment", "--reject-with", "--log-prefix", "--log-level"]);

function parseRule(text: string, packet: Packet, table: Table): FilterRule {
  const words = splitWords(text);
  const fits: Fit[] = [];
  let target = "";
  for (let index = 0; index < words.length; index += 1) {
    const negate = words[index] === "!";
    if (negate) index += 1;
    const word = words[index] ?? "";
    const value = words[index + 1] ?? "";
    const match = Object.hasOwn(MATCHES, word) ? MATCHES[word] : undefined;
    if (match !== undefined) fits.push(negated(match(packet, value), negate));
    else if (word === "-j" || word === "-g") target = value;
    else if (!WITHOUT_MEANING.has(word)) fits.push("unknown");
    else if (word === "-m" && value === "owner" && packet.hook === "input") fits.push("no");
    // A word without a value ("--syn") is followed by another option.
    if (!value.startsWith("-") && value !== "!" && value !== "") index += 1;
  }
  return { text, fit: allOf(fits), action: actionOf(target, table) };
}

function actionOf(target: string, table: Table): FilterRule["action"] {
  if (target === "ACCEPT") return { kind: "accept" };
  if (target === "DROP" || target === "REJECT") return { kind: "drop" };
  if (target === "RETURN") return { kind: "return" };
  if (table.policies.has(target) || table.rules.has(target)) return { kind: "jump", chain: target };
  // Targets that change or note a packet and let it go on.
  return { kind: "continue" };
}

function splitWords(text: string): readonly string[] {
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
}

function portFits(port: number, value: string): Fit {
  const match = /^([0-9]{1,5})(?::([0-9]{1,5}))?$/.exec(value);
  if (match === null) return "unknown";
  const [from, to] = [Number(match[1]), Number(match[2] ?? match[1])];
  return port >= from && port <= to ? "yes" : "no";
}

function ownerFits(uid: number, value: string): Fit {
  const match = /^([0-9]+)(?:-([0-9]+))?$/.exec(value);
  if (match === null) return "unknown";
  return uid >= Number(match[1]) && uid <= Number(match[2] ?? match[1]) ? "yes" : "no";
}

function interfaceFits(loopback: boolean, value: string): Fit {
  if (loopback) return value === "lo" || value === "lo+" ? "yes" : "no";
  return value === "lo" ? "no" : "unknown";
}

function anyOf(fits: readonly Fit[]): Fit {
  if (fits.includes("yes")) return "yes";
  return fits.includes("unknown") ? "unknown" : "no";
}
