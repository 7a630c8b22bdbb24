import { describe, expect, test } from "bun:test";
import { passageThroughIptables } from "./iptables.ts";
import { passageThroughNftables } from "./nftables.ts";
import { addressFits, type Packet } from "./packet-path.ts";

const toHost: Packet = { hook: "output", destination: "168.63.129.16", port: 80, uid: 0, loopback: false };
const toListener: Packet = { hook: "output", destination: "127.0.0.1", port: 3080, uid: 65_534, loopback: true };
const atListener: Packet = { ...toListener, hook: "input" };

function saved(table: string, rules: readonly string[], policy = "ACCEPT", chain = "OUTPUT"): string {
  return [
    `*${table}`,
    `:INPUT ${chain === "INPUT" ? policy : "ACCEPT"} [0:0]`,
    `:OUTPUT ${chain === "OUTPUT" ? policy : "ACCEPT"} [5:300]`,
    ...rules,
    "COMMIT",
    "",
  ].join("\n");
}

/** What the guest agent puts there. */
const GUEST_AGENT = [
  "-A OUTPUT -d 168.63.129.16/32 -p tcp -m tcp --dport 53 -j ACCEPT",
  "-A OUTPUT -d 168.63.129.16/32 -p tcp -m owner --uid-owner 0 -j ACCEPT",
  "-A OUTPUT -d 168.63.129.16/32 -p tcp -m conntrack --ctstate INVALID,NEW -j DROP",
];

describe("addressFits", () => {
  test.each([
    ["168.63.129.16", "168.63.129.16/32", "yes"],
    ["168.63.129.16", "168.63.0.0/16", "yes"],
    ["168.63.129.16", "0.0.0.0/0", "yes"],
    ["168.64.129.16", "168.63.0.0/16", "no"],
    ["168.63.129.16", "fe80::/10", "unknown"],
    ["168.63.129.16", "168.63.129.16/255.255.255.255", "unknown"],
    ["168.63.129.16", "168.63.129.300", "unknown"],
  ])("%p in %p: %p", (address, network, fit) => expect(addressFits(address, network)).toBe(fit as "yes"));
});

describe("iptables-save", () => {
  test("the guest agent's rules let root pass and nobody else", () => {
    const text = saved("security", GUEST_AGENT);
    expect(passageThroughIptables(text, toHost).kind).toBe("passes");
    expect(passageThroughIptables(text, { ...toHost, uid: 1000 })).toEqual({ kind: "dropped", rule: GUEST_AGENT[2] ?? "" });
    expect(passageThroughIptables(text, { ...toHost, uid: 1000, port: 53 }).kind).toBe("passes");
  });

  test.each<[string, readonly string[], string, "passes" | "dropped" | "maybe"]>([
    ["no rules", [], "ACCEPT", "passes"],
    ["a policy that drops", [], "DROP", "dropped"],
    ["a policy that drops behind a rule that accepts", ["-A OUTPUT -p tcp -j ACCEPT"], "DROP", "passes"],
    ["a rule for another address", ["-A OUTPUT -d 10.0.0.0/8 -j DROP"], "ACCEPT", "passes"],
    ["a negated address", ["-A OUTPUT ! -d 10.0.0.0/8 -j DROP"], "ACCEPT", "dropped"],
    ["a port range", ["-A OUTPUT -p tcp -m tcp --dport 1:1024 -j REJECT --reject-with icmp-port-unreachable"], "ACCEPT", "dropped"],
    ["a list of ports", ["-A OUTPUT -p tcp -m multiport --dports 443,8080 -j DROP"], "ACCEPT", "passes"],
    ["another protocol", ["-A OUTPUT -p udp -j DROP"], "ACCEPT", "passes"],
    ["a match nobody knows", ["-A OUTPUT -m set --match-set bad dst -j DROP"], "ACCEPT", "maybe"],
    [
      "a match nobody knows that accepts, then a drop",
      ["-A OUTPUT -m set --match-set good dst -j ACCEPT", "-A OUTPUT -j DROP"],
      "ACCEPT",
      "maybe",
    ],
    ["a drop nobody knows, then an accept", ["-A OUTPUT -m set --match-set bad dst -j DROP", "-A OUTPUT -j ACCEPT"], "ACCEPT", "maybe"],
    [
      "a chain that returns",
      [":MINE - [0:0]", "-A OUTPUT -j MINE", "-A MINE -d 168.63.129.16/32 -j RETURN", "-A MINE -j DROP"],
      "ACCEPT",
      "passes",
    ],
    ["a chain that drops", [":MINE - [0:0]", "-A OUTPUT -j MINE", "-A MINE -d 168.63.129.16/32 -j DROP"], "ACCEPT", "dropped"],
    ["an established connection", ["-A OUTPUT -m state --state ESTABLISHED -j DROP"], "ACCEPT", "passes"],
    ["a target that only notes", ['-A OUTPUT -j LOG --log-prefix "a -j DROP "'], "ACCEPT", "passes"],
    ["a comment that looks like options", ['-A OUTPUT -m comment --comment "! -d 1.2.3.4" -j DROP'], "ACCEPT", "dropped"],
  ])("%s", (_title, rules, policy, kind) => expect(passageThroughIptables(saved("filter", rules, policy), toHost).kind).toBe(kind));

  test("chains that jump in a circle end as maybe", () => {
    const text = saved("filter", [":A - [0:0]", ":B - [0:0]", "-A OUTPUT -j A", "-A A -j B", "-A B -j A"]);
    expect(passageThroughIptables(text, toHost).kind).toBe("maybe");
  });

  test("loopback: an input policy that drops needs a rule for lo", () => {
    const closed = saved("filter", [], "DROP", "INPUT");
    const open = saved("filter", ["-A INPUT -i lo -j ACCEPT"], "DROP", "INPUT");
    expect(passageThroughIptables(closed, atListener).kind).toBe("dropped");
    expect(passageThroughIptables(open, atListener).kind).toBe("passes");
    expect(passageThroughIptables(closed, toListener).kind).toBe("passes");
    expect(passageThroughIptables(saved("filter", ["-A OUTPUT -o lo -m owner ! --uid-owner 0 -j REJECT"]), toListener).kind).toBe(
      "dropped",
    );
  });
});

function ruleset(rules: readonly unknown[], chain: Readonly<Record<string, unknown>> = {}): unknown {
  const base = { family: "ip", table: "walinuxagent", name: "output", type: "filter", hook: "output", prio: 0, policy: "accept", ...chain };
  return {
    nftables: [
      { metainfo: { json_schema_version: 1 } },
      { table: { family: base.family, name: base.table } },
      { chain: base },
      ...rules.map((expr) => ({ rule: { family: base.family, table: base.table, chain: base.name, expr } })),
    ],
  };
}

const match = (left: unknown, right: unknown, op = "==") => ({ match: { op, left, right } });
const daddr = { payload: { protocol: "ip", field: "daddr" } };
const dport = { payload: { protocol: "tcp", field: "dport" } };
const skuid = { meta: { key: "skuid" } };
const state = { ct: { key: "state" } };
const DROP = { drop: null };

describe("nft -j list ruleset", () => {
  const guestAgent = [
    [
      match(daddr, "168.63.129.16"),
      match(dport, 53, "!="),
      match(skuid, 0, "!="),
      match(state, ["invalid", "new"], "in"),
      { counter: {} },
      DROP,
    ],
  ];

  test("the guest agent's table lets root pass and nobody else", () => {
    expect(passageThroughNftables(ruleset(guestAgent), toHost).kind).toBe("passes");
    expect(passageThroughNftables(ruleset(guestAgent), { ...toHost, uid: 1000 }).kind).toBe("dropped");
    expect(passageThroughNftables(ruleset(guestAgent), { ...toHost, uid: 1000, destination: "10.0.0.1" }).kind).toBe("passes");
  });

  test.each<[string, readonly unknown[], "passes" | "dropped" | "maybe"]>([
    ["a prefix", [[match(daddr, { prefix: { addr: "168.63.0.0", len: 16 } }), DROP]], "dropped"],
    ["a set of ports", [[match(dport, { set: [80, 443] }), DROP]], "dropped"],
    ["a range of ports", [[match(dport, { set: [{ range: [8000, 9000] }] }), DROP]], "passes"],
    ["a named set", [[match(daddr, "@bad"), DROP]], "maybe"],
    ["root by name", [[match(skuid, "root", "!="), DROP]], "passes"],
    ["another user by name", [[match(skuid, "daemon"), DROP]], "maybe"],
    ["an expression nobody knows", [[match({ socket: { key: "mark" } }, 1), DROP]], "maybe"],
    ["a rule of iptables", [[{ xt: { type: "match", name: "owner" } }, DROP]], "maybe"],
    ["accept first", [[match(daddr, "168.63.129.16"), { accept: null }], [DROP]], "passes"],
  ])("%s", (_title, rules, kind) => expect(passageThroughNftables(ruleset(rules), toHost).kind).toBe(kind));

  test("a policy that drops", () => {
    expect(passageThroughNftables(ruleset([], { policy: "drop" }), toHost).kind).toBe("dropped");
    expect(passageThroughNftables(ruleset([], { policy: "drop", hook: "input" }), toHost).kind).toBe("passes");
    expect(passageThroughNftables(ruleset([], { policy: "drop", family: "ip6" }), toHost).kind).toBe("passes");
  });

  test.each([[undefined], [null], [[]], [{}], { nftables: 1 }, { nftables: [{ rule: {} }, { chain: { family: "ip" } }] }])(
    "%p decides nothing",
    (text) => expect(passageThroughNftables(text, toHost).kind).toBe("passes"),
  );
});
