// Would a packet filter let a connection pass? A small reading of `iptables-save` and `nft -j list ruleset`: what is understood is
// followed, what is not makes the answer "maybe". Good enough to find the rule that cuts the agent off; it never allows anything.

/** The first packet of a TCP connection, as a filter sees it. */
export interface Packet {
  readonly hook: "output" | "input";
  readonly destination: string;
  readonly port: number;
  /** Who owns the sending socket. */
  readonly uid: number;
  readonly loopback: boolean;
}

export type Passage =
  | { readonly kind: "passes" }
  | { readonly kind: "dropped"; readonly rule: string }
  /** A rule that is not understood could drop it. */
  | { readonly kind: "maybe"; readonly rule: string };

export const PASSES: Passage = { kind: "passes" };

/** How well a rule's conditions fit. */
export type Fit = "yes" | "no" | "unknown";

export function allOf(fits: readonly Fit[]): Fit {
  if (fits.includes("no")) return "no";
  return fits.includes("unknown") ? "unknown" : "yes";
}

export function negated(fit: Fit, negate: boolean): Fit {
  if (!negate || fit === "unknown") return fit;
  return fit === "yes" ? "no" : "yes";
}

/** Whether a dotted address lies in `a.b.c.d` or `a.b.c.d/len`. Anything else is unknown. */
export function addressFits(address: string, network: string): Fit {
  const [base = "", lengthText = "32"] = network.split("/");
  const [own, other] = [parseAddress(address), parseAddress(base)];
  const length = /^[0-9]{1,2}$/.test(lengthText) ? Number(lengthText) : undefined;
  if (own === undefined || other === undefined || length === undefined || length > 32) return "unknown";
  const shift = 2 ** (32 - length);
  return Math.floor(own / shift) === Math.floor(other / shift) ? "yes" : "no";
}

function parseAddress(text: string): number | undefined {
  const match = /^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})$/.exec(text);
  const parts = match?.slice(1).map(Number) ?? [];
  return parts.length !== 4 || parts.some((part) => part > 255) ? undefined : parts.reduce((sum, part) => sum * 256 + part, 0);
}

/** What became of a walk through one chain. */
export type ChainEnd =
  | Passage
  /** Nothing decided; `unsure`: a rule that is not understood may have let it pass. */
  | { readonly kind: "returned"; readonly unsure: boolean };

export interface FilterRule {
  /** As its tool prints it. */
  readonly text: string;
  readonly fit: Fit;
  readonly action:
    | { readonly kind: "accept" | "drop" | "return" | "continue" | "unknown" }
    | { readonly kind: "jump"; readonly chain: string };
}

const MAX_JUMPS = 32;

/** Walks a chain of rules and those it jumps to. */
export function walkChain(rulesOf: (chain: string) => readonly FilterRule[], chain: string, jumps = 0): ChainEnd {
  let mayDrop: string | undefined;
  let mayPass = false;
  for (const { text, fit, action } of rulesOf(chain)) {
    if (fit === "no" || action.kind === "continue") continue;
    const end = endOf(text, action, (next) => (jumps < MAX_JUMPS ? walkChain(rulesOf, next, jumps + 1) : { kind: "maybe", rule: text }));
    if (end.kind === "returned" && action.kind === "jump") {
      mayPass ||= end.unsure;
      continue;
    }
    if (fit === "unknown" || end.kind === "maybe") {
      if (end.kind === "dropped" || end.kind === "maybe") mayDrop ??= end.rule;
      if (end.kind !== "dropped") mayPass = true;
      continue;
    }
    if (end.kind === "dropped" && mayPass) return { kind: "maybe", rule: end.rule };
    if (end.kind === "dropped" || mayDrop === undefined) return end;
    return { kind: "maybe", rule: mayDrop };
  }
  return mayDrop === undefined ? { kind: "returned", unsure: mayPass } : { kind: "maybe", rule: mayDrop };
}

function endOf(rule: string, action: FilterRule["action"], follow: (chain: string) => ChainEnd): ChainEnd {
  switch (action.kind) {
    case "accept":
      return PASSES;
    case "drop":
      return { kind: "dropped", rule };
    case "jump":
      return follow(action.chain);
    case "unknown":
      return { kind: "maybe", rule };
    default:
      return { kind: "returned", unsure: false };
  }
}

/** What comes of a chain that decided nothing, by the chain's own policy. */
export function byPolicy(end: ChainEnd, drops: boolean, rule: string): Passage {
  if (end.kind !== "returned") return end;
  if (!drops) return PASSES;
  return { kind: end.unsure ? "maybe" : "dropped", rule };
}

/** The worst of several filters: each must let the packet pass. */
export function worstPassage(passages: readonly Passage[]): Passage {
  return passages.find(({ kind }) => kind === "dropped") ?? passages.find(({ kind }) => kind === "maybe") ?? PASSES;
}
