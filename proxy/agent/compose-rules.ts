// Puts a platform item and the local rule file that it asks for together. The file is read at every poll: what counts is its
// content at that moment, not its date.

import type { Endpoint } from "../core/endpoint.ts";
import { mergeLocalRules, parseLocalRules, readRuleSwitch } from "../core/local-rules.ts";
import type { Result } from "../core/result.ts";
import type { ComposeRules } from "./guards.ts";

/** HostGAPlugin's own item has no local file; with WireServer's item it takes WireServer's file too. */
const FILE_NAMES: Readonly<Partial<Record<Endpoint, string>>> = { imds: "IMDS_Rules.json", wireserver: "WireServer_Rules.json" };

/** @param read - gives the bytes of a file of the rules folder, undefined when there is none, or why it must not be used */
export function makeComposeRules(folder: string, read: (name: string) => Result<Uint8Array | undefined, string>): ComposeRules {
  return (item, from) => {
    const { useLocalFileRules, effectiveId } = readRuleSwitch(item.id);
    const name = FILE_NAMES[from];
    if (!useLocalFileRules || name === undefined) return { kind: "platform", json: item.json };
    const path = `${folder}/${name}`;
    const bytes = read(name);
    if (!bytes.ok) return { kind: "refused-file", path, message: bytes.error };
    if (bytes.value === undefined) return { kind: "without-file", json: { ...item.json, id: effectiveId }, id: effectiveId, path };
    const local = parseLocalRules(bytes.value);
    if (!local.ok) return { kind: "refused-file", path, message: `cannot use local rules "${path}": ${local.error}` };
    const json = mergeLocalRules(item.json, effectiveId, local.value);
    return { kind: "merged", json, id: String(json.id), path };
  };
}
