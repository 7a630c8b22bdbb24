// Decides where the simulator may listen: addresses of this network namespace only. It must never stand in for the real
// services on a machine that has them, nor offer itself to a network.

import { networkInterfaces } from "node:os";
import { type ListenAddress, type Parsed, parsed, refused } from "./host-model.ts";

/** Reads `ADDRESS:PORT` with a dotted IPv4 address. */
export function parseListenAddress(found: string): Parsed<ListenAddress> {
  const match = /^(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})$/.exec(found);
  const [, address = "", portText = ""] = match ?? [];
  const port = Number(portText);
  if (match === null || port > 65_535 || address.split(".").some((part) => Number(part) > 255)) {
    return refused(`cannot read address "${found}": want IPv4-ADDRESS:PORT, like 127.0.0.1:18080`);
  }
  return parsed({ address, port });
}

/**
 * Gives the reason why we may not listen here, or undefined.
 * @param localAddresses - addresses of the current network namespace
 */
export function listenProblem(wanted: ListenAddress, localAddresses: ReadonlySet<string> = readLocalAddresses()): string | undefined {
  if (wanted.address === "0.0.0.0")
    return `cannot listen on ${wanted.address}: the simulator is not for a network, want an address of its own`;
  if (/^127\./.test(wanted.address) || localAddresses.has(wanted.address)) return undefined;
  return (
    `cannot listen on ${wanted.address}:${wanted.port}: it is not an address of this network namespace\n` +
    "  In a sandbox it is one: start the simulator there with\n" +
    "    ./scripts/sandbox bun run host-simulator\n" +
    "  Or give loopback addresses instead:\n" +
    "    --wireserver-address 127.0.0.1:18080 --hostga-address 127.0.0.1:32526 --imds-address 127.0.0.1:18081"
  );
}

function readLocalAddresses(): ReadonlySet<string> {
  const found = new Set<string>();
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address } of addresses ?? []) found.add(address);
  }
  return found;
}
