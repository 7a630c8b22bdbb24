// From a rule item to a component: all steps in one place, for the daemon itself and for the process it starts for large
// rule sets. The daemon answers requests on one thread; compiling a thousand rules there would block them.

import { decode, encode } from "cbor-x/index-no-eval";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { parseRuleItem, renderRuleError, usesAccountNames, usesExecutableHashes } from "../../core/rules/rules.ts";
import { compilePolicy, renderCompileError } from "./compile-rules.ts";

export interface CompiledItem {
  readonly component: Uint8Array;
  /** What has no effect in the item, in words. */
  readonly warnings: readonly string[];
  readonly wantsExecutableHash: boolean;
  readonly wantsAccountNames: boolean;
}

/** Items whose JSON is longer than this are compiled by a process of their own. Characters; about a hundred privileges. */
export const INLINE_ITEM_CHARACTERS = 16 * 1024;
const COMPILE_LIMIT_MS = 30_000;

/** Parses and compiles a rule item. The error says in words what cannot be used. */
export function compileItem(endpoint: Endpoint, json: unknown): Result<CompiledItem, string> {
  const rules = parseRuleItem(json);
  if (!rules.ok) return err(renderRuleError(rules.error));
  const component = compilePolicy(rules.value, endpoint);
  if (!component.ok) return err(renderCompileError(component.error));
  const warnings = rules.value.warnings.map(({ kind, pointer, name }) => `${kind} at "${pointer}": ${JSON.stringify(name)}`);
  return ok({
    component: component.value,
    warnings,
    wantsExecutableHash: usesExecutableHashes(rules.value),
    wantsAccountNames: usesAccountNames(rules.value),
  });
}

/**
 * Compiles an item without holding up the calling thread: small ones at once, large ones in a process of their own.
 * @param command - starts that process; it is given the endpoint, and runs {@link answerCompileRequest}
 */
export async function compileItemApart(
  command: readonly string[],
  endpoint: Endpoint,
  json: unknown,
): Promise<Result<CompiledItem, string>> {
  const text = JSON.stringify(json);
  if (text.length <= INLINE_ITEM_CHARACTERS) return compileItem(endpoint, json);
  try {
    const child = Bun.spawn([...command, endpoint], {
      stdin: Buffer.from(text),
      stdout: "pipe",
      stderr: "ignore",
      env: {},
      cwd: "/",
      timeout: COMPILE_LIMIT_MS,
    });
    const [answer, code] = await Promise.all([new Response(child.stdout).bytes(), child.exited]);
    const result: unknown = code === 0 ? decode(answer) : undefined;
    // Waiting requests first: what the caller does next with a large component takes milliseconds too.
    await Bun.sleep(0);
    if (isResult(result)) return result;
  } catch {
    // No process to be had, or it answered nonsense: rather hold requests up than leave rules out.
  }
  return compileItem(endpoint, json);
}

/** The process is this same program; what is checked is that it came to its end, not that it is honest. */
function isResult(value: unknown): value is Result<CompiledItem, string> {
  if (typeof value !== "object" || value === null || !("ok" in value)) return false;
  if (value.ok === false) return "error" in value && typeof value.error === "string";
  return "value" in value && typeof value.value === "object" && value.value !== null && "component" in value.value;
}

/** What the process of its own does: an item's JSON in, the encoded result out. */
export function answerCompileRequest(endpoint: Endpoint, text: string): Uint8Array {
  return encode(compileItem(endpoint, JSON.parse(text)));
}
