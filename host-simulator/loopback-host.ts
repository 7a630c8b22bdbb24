// Starts a simulator on loopback with free ports, and latches a key as an agent would. For tests in one process.

import type { ChannelVersion, ListenAddress } from "./host-model.ts";
import { ask, type RawResponse, type SigningKey } from "./raw-client.ts";
import { type HostSimulator, type HostSimulatorOptions, startHostSimulator } from "./simulator.ts";

const ANY_PORT: ListenAddress = { address: "127.0.0.1", port: 0 };

export function startLoopbackHost(options: Omit<HostSimulatorOptions, "addresses"> = {}): Promise<HostSimulator> {
  return startHostSimulator({ ...options, addresses: { wireserver: ANY_PORT, hostga: ANY_PORT, imds: ANY_PORT } });
}

export async function readStatus(host: HostSimulator): Promise<Record<string, unknown> & { readonly version: ChannelVersion }> {
  const answer = await ask(host.addresses.wireserver, { target: "/secure-channel/status", headers: { metadata: "True " } });
  if (answer.status !== 200) throw new Error(`cannot read status: found ${answer.status}`);
  return JSON.parse(answer.body.toString());
}

export function acquire(host: HostSimulator): Promise<RawResponse> {
  return ask(host.addresses.wireserver, {
    method: "POST",
    target: "/secure-channel/key",
    headers: { metadata: "True ", "content-type": "application/json" },
    body: '{"authorizationScheme": "Azure-HMAC-SHA256"}',
  });
}

export async function acquireKey(host: HostSimulator): Promise<SigningKey> {
  const answer = await acquire(host);
  if (answer.status !== 200) throw new Error(`cannot acquire: found ${answer.status}`);
  const { guid, key } = JSON.parse(answer.body.toString());
  return { guid, hex: key };
}

export function attest(host: HostSimulator, key: SigningKey, guid = key.guid): Promise<RawResponse> {
  const target = `/secure-channel/key/${guid}/key-attestation`;
  return ask(host.addresses.wireserver, { method: "POST", target, headers: { metadata: "True ", "content-length": "0" } }, key);
}

/** Acquires and attests. */
export async function latchKey(host: HostSimulator): Promise<SigningKey> {
  const key = await acquireKey(host);
  const answer = await attest(host, key);
  if (answer.status !== 200) throw new Error(`cannot attest: found ${answer.status}`);
  return key;
}
