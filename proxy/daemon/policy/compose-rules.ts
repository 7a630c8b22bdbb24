// Merges a platform item and the local rule file that it requests. The file is read at every poll: what counts is its
// content at that moment, not its date. Reports the state of the file; guards.ts decides what that means for the endpoint.

import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { mergeLocalRules, parseLocalRules, readRuleSwitch } from "../../core/rules/local-rules.ts";
import type { ComposedRules, ComposeRules, GoodFile } from "./guards.ts";

/** HostGAPlugin's own item has no local file; with WireServer's item it takes WireServer's file too. */
const FILE_NAMES: Readonly<Partial<Record<Endpoint, string>>> = { imds: "IMDS_Rules.json", wireserver: "WireServer_Rules.json" };

const NOTHING = new Uint8Array(0);

/** @param read - gives the bytes of a file of the rules folder, undefined when there is none, or why it must not be used */
export function makeComposeRules(folder: string, read: (name: string) => Result<Uint8Array | undefined, string>): ComposeRules {
  /** What the newest content of each path was found to be: only new content is parsed. */
  const known = new Map<string, { readonly sha256: string; readonly file: Result<GoodFile, string> }>();

  function parse(path: string, bytes: Uint8Array): Result<GoodFile, string> {
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const before = known.get(path);
    if (before?.sha256 === sha256) return before.file;
    const rules = parseLocalRules(bytes);
    const file = rules.ok ? ok({ rules: rules.value, sha256 }) : err(describeFault(path, rules.error));
    known.set(path, { sha256, file });
    return file;
  }

  return (item, from, before) => {
    const { useLocalFileRules, effectiveId } = readRuleSwitch(item.id);
    const name = FILE_NAMES[from];
    if (!useLocalFileRules || name === undefined) return { json: item.json, id: item.id, localFile: undefined, goodFile: undefined };
    const path = join(folder, name);

    const withFile = (file: GoodFile): Result<ComposedRules, string> => {
      const merged = mergeLocalRules(item.json, effectiveId, file.rules);
      if (!merged.ok) return err(describeFault(path, merged.error));
      const localFile = { path, state: "applied", message: "", sha256: file.sha256 } as const;
      return ok({ json: merged.value, id: String(merged.value.id), localFile, goodFile: file });
    };

    const found = read(name);
    if (found.ok && found.value === undefined) {
      const localFile = { path, state: "missing", message: "", sha256: "" } as const;
      return { json: { ...item.json, id: effectiveId }, id: effectiveId, localFile, goodFile: undefined };
    }
    const file = found.ok ? parse(path, found.value ?? NOTHING) : found;
    const composed = file.ok ? withFile(file.value) : file;
    if (composed.ok) return composed.value;

    const refused = { path, state: "refused", message: composed.error } as const;
    // The platform's newest item counts also while the file is bad: the last good file goes together with that one.
    const stillGood = before === undefined ? undefined : withFile(before);
    if (before !== undefined && stillGood?.ok) return { ...stillGood.value, localFile: { ...refused, sha256: before.sha256 } };
    return { json: undefined, id: effectiveId, localFile: { ...refused, sha256: "" }, goodFile: undefined };
  };
}

function describeFault(path: string, fault: string): string {
  return `cannot use local rules "${path}": ${fault}`;
}
