// The kernel's map of redirected endpoints, with the agent's types.

import type { RedirectorError } from "../../core/ports.ts";
import { ENDPOINT_FACTS, ENDPOINTS, type Endpoint } from "../../core/request/endpoint.ts";
import type { Result } from "../../core/result.ts";
import { writeAddress } from "./address.ts";
import type { KernelObjects } from "./kernel-objects.ts";
import { GUARDED_KEY_BYTES, MAX_GUARDED } from "./layout.ts";
import type { Libbpf } from "./libbpf.ts";

export function writeGuarded(libbpf: Libbpf, map: number, endpoint: Endpoint, guarded: boolean): Result<void, RedirectorError> {
  const { address, port } = ENDPOINT_FACTS[endpoint];
  const what = `endpoint "${address}:${port}" in the map of guarded endpoints`;
  const key = keyOf(endpoint);
  return guarded ? libbpf.update(map, key, new Uint8Array(4), what) : libbpf.remove(map, key, what);
}

/** Which endpoints the map holds, and the keys in it that are none of ours. */
export function readGuarded(
  kernel: KernelObjects,
  map: number,
): { readonly endpoints: ReadonlySet<Endpoint>; readonly strange: readonly Uint8Array[] } {
  const endpoints = new Set<Endpoint>();
  const strange: Uint8Array[] = [];
  for (const key of kernel.keys(map, GUARDED_KEY_BYTES, MAX_GUARDED)) {
    const endpoint = ENDPOINTS.find((candidate) => Buffer.from(keyOf(candidate)).equals(key));
    if (endpoint === undefined) strange.push(key);
    else endpoints.add(endpoint);
  }
  return { endpoints, strange };
}

function keyOf(endpoint: Endpoint): Uint8Array {
  const { address, port } = ENDPOINT_FACTS[endpoint];
  const key = new Uint8Array(GUARDED_KEY_BYTES);
  const view = new DataView(key.buffer);
  writeAddress(view, 0, address);
  view.setUint16(4, port, false);
  return key;
}
