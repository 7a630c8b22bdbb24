// Can the agent reach the host, and callers the agent: packet filters, routes, the listener.

import { ENDPOINT_FACTS, ENDPOINTS } from "../../core/request/endpoint.ts";
import { LISTENER_ADDRESS, LISTENER_PORT } from "../../core/request/listener-address.ts";
import { broken, doubtful, type Finding, fine } from "./finding.ts";
import { passageThroughIptables } from "./iptables.ts";
import { passageThroughNftables } from "./nftables.ts";
import { type Packet, type Passage, worstPassage } from "./packet-path.ts";

export interface NetworkFacts {
  /** Output of `iptables-save`; undefined when there is no such tool or it failed. */
  readonly iptables: string | undefined;
  /** Parsed output of `nft -j list ruleset`; undefined likewise. */
  readonly nftables: unknown;
  /** By endpoint address: `ip route get` found a route, or its error; undefined when it could not be queried. */
  readonly routes: Readonly<Record<string, { readonly ok: boolean; readonly words: string } | undefined>>;
  /** Status of `GET /health` on the listener, or why there is no answer. */
  readonly listener: { readonly kind: "answers"; readonly status: number } | { readonly kind: "silent"; readonly why: string };
  /** User id of the listening socket's creator; undefined when there is none, or it is unknown. */
  readonly listenerOwner: number | undefined;
}

const LISTENER = { address: LISTENER_ADDRESS, port: LISTENER_PORT };
const NOBODY = 65_534;
const ROOT = 0;

export function checkNetwork(facts: NetworkFacts): readonly Finding[] {
  return [checkUpstream(facts), checkLoopback(facts), ...checkRoutes(facts), checkListener(facts)];
}

function passageOf(facts: NetworkFacts, packet: Packet): Passage {
  return worstPassage([
    ...(facts.iptables === undefined ? [] : [passageThroughIptables(facts.iptables, packet)]),
    ...(facts.nftables === undefined ? [] : [passageThroughNftables(facts.nftables, packet)]),
  ]);
}

/** The guest agent's own rules let only its uid, 0, reach WireServer; ours leaves as uid 0, too. */
function checkUpstream(facts: NetworkFacts): Finding {
  const check = "firewall-host";
  if (facts.iptables === undefined && facts.nftables === undefined)
    return fine(check, "no packet filter was found to look at (neither iptables-save nor nft answers)");
  for (const endpoint of ENDPOINTS) {
    const { address, port, title } = ENDPOINT_FACTS[endpoint];
    const passage = passageOf(facts, { hook: "output", destination: address, port, uid: ROOT, loopback: false });
    const where = `connections of root to ${title} (${address}:${port})`;
    if (passage.kind === "dropped")
      return broken(
        check,
        `${where} are dropped by: ${passage.rule}`,
        "let uid 0 pass: without that the agent reaches no host and answers 503",
      );
    if (passage.kind === "maybe")
      return doubtful(check, `${where} may be dropped by: ${passage.rule}`, "see that this rule does not meet connections of uid 0");
  }
  return fine(check, "packet filters let root reach the host");
}

function checkLoopback(facts: NetworkFacts): Finding {
  const check = "firewall-loopback";
  const packet = { destination: LISTENER.address, port: LISTENER.port, loopback: true };
  const passage = worstPassage([
    passageOf(facts, { ...packet, hook: "output", uid: NOBODY }),
    passageOf(facts, { ...packet, hook: "input", uid: NOBODY }),
  ]);
  const where = `connections of ordinary users to the listener (${LISTENER.address}:${LISTENER.port})`;
  if (passage.kind === "dropped")
    return broken(check, `${where} are dropped by: ${passage.rule}`, "let loopback pass: redirected connections end there");
  if (passage.kind === "maybe")
    return doubtful(check, `${where} may be dropped by: ${passage.rule}`, "see that this rule does not meet loopback");
  return fine(check, "packet filters let callers reach the listener");
}

function checkRoutes(facts: NetworkFacts): readonly Finding[] {
  const addresses = [...new Set(ENDPOINTS.map((endpoint) => ENDPOINT_FACTS[endpoint].address))];
  return addresses.map((address): Finding => {
    const route = facts.routes[address];
    if (route === undefined) return doubtful("route", `cannot ask for the route to ${address}`, "install the package iproute2");
    if (route.ok) return fine("route", `to ${address}: ${route.words}`);
    return broken(
      "route",
      `to ${address}: ${route.words}`,
      "a missing route, or one of type prohibit or unreachable (systemd-imdsd in locked mode makes one), keeps the agent from the host: see ip rule and ip route show table all",
    );
  });
}

function checkListener({ listener, listenerOwner = ROOT }: NetworkFacts): Finding {
  const where = `${LISTENER.address}:${LISTENER.port}`;
  if (listenerOwner !== ROOT)
    return broken(
      "listener",
      `${where} is held by uid ${listenerOwner}, want root`,
      "that is not this agent: end what listens there (ss -ltnp 'sport = :3080'), then start the agent; its socket unit keeps the port from others",
    );
  const journal = "systemctl status azure-proxy-agent, journalctl -u azure-proxy-agent";
  if (listener.kind === "silent")
    return broken("listener", `${where}: ${listener.why}`, `start the agent; ${journal} tell why it is not there`);
  if (listener.status === 200) return fine("listener", `${where} answers and is ready`);
  if (listener.status === 503)
    return doubtful("listener", `${where} answers: not ready yet`, `azure-proxy-agent --status names the part; ${journal}`);
  return broken(
    "listener",
    `${where} answers ${listener.status}`,
    "that is not this agent: find out who listens there (ss -ltnp 'sport = :3080')",
  );
}
