// Policy components as the agent runs them. Whatever goes wrong inside one (trap, exception, nonsense) is a deny with reason
// `policy-failed`, and the next call gets a fresh instance. An exception must never come out of here, and doubt never allows.

import { createHash } from "node:crypto";
import type { Claims } from "../../core/caller.ts";
import type { CanonicalRequest } from "../../core/canonical-request.ts";
import type { Policy, PolicyDecision } from "../../core/ports.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { type CoreExports, instantiateAuthorizer } from "./engine-artifact.ts";
import { type BinaryError, extractCoreModule } from "./wasm-binary.ts";
import { type Authorizer, CORE_EXPORTS, toWitCaller, toWitRequest, type WitOutcome } from "./wit-world.ts";

export { type CompileError, compilePolicy, readCompiledRules, renderCompileError } from "./compile-rules.ts";

export type PolicyLoadError =
  | BinaryError
  | { readonly kind: "invalid-module"; readonly cause: string }
  | { readonly kind: "has-imports"; readonly found: string }
  | { readonly kind: "missing-export"; readonly name: string }
  /** It could be instantiated but not configured; for our own components, damaged tables. */
  | { readonly kind: "refused-to-start"; readonly cause: string };

/** A policy that also tells how often it failed. */
export interface ComponentPolicy extends Policy {
  /** Calls answered `policy-failed` since loading. */
  readonly failures: number;
}

export const MAX_REASON_BYTES = 256;
export const MAX_RULE_BYTES = 4096;
const MAX_LABELS = 16;
const MAX_LABEL_NAME_BYTES = 64;
const MAX_LABEL_VALUE_BYTES = 256;

/** What a policy looks at beyond what every caller is known by. */
export type PolicyNeeds = Pick<Policy, "wantsExecutableHash">;

const FAILED: PolicyDecision = { kind: "deny", reason: "policy-failed", rule: "" };
const NO_SETTINGS = new Uint8Array();

/** Lower-case hex SHA-256 of a component file. */
export function policyIdOf(component: Uint8Array): string {
  return createHash("sha256").update(component).digest("hex");
}

/**
 * Loads a component of world `policy` that has one core module, and starts it once to see that it can.
 * The caller answers for where the file comes from: nothing here limits how long or with how much memory it runs.
 * @param needs - what its rules look at; kept with the policy
 */
export function loadPolicy(component: Uint8Array, needs: PolicyNeeds = {}): Result<ComponentPolicy, PolicyLoadError> {
  const core = extractCoreModule(component);
  if (!core.ok) return core;
  const module = compileModule(core.value);
  if (!module.ok) return module;
  const policy = new RunningPolicy(policyIdOf(component), module.value, needs);
  const trouble = policy.start();
  return trouble === undefined ? ok(policy) : err({ kind: "refused-to-start", cause: trouble });
}

function compileModule(core: Uint8Array): Result<WebAssembly.Module, PolicyLoadError> {
  let module: WebAssembly.Module;
  try {
    module = new WebAssembly.Module(Uint8Array.from(core));
  } catch (error) {
    return err({ kind: "invalid-module", cause: describe(error) });
  }
  const wanted = WebAssembly.Module.imports(module)[0];
  if (wanted !== undefined) return err({ kind: "has-imports", found: `${wanted.module} ${wanted.name}` });
  const kinds = new Map(WebAssembly.Module.exports(module).map(({ name, kind }) => [name, kind]));
  const missing =
    kinds.get(CORE_EXPORTS.memory) !== "memory"
      ? CORE_EXPORTS.memory
      : CORE_EXPORTS.functions.find((name) => kinds.get(name) !== "function");
  return missing === undefined ? ok(module) : err({ kind: "missing-export", name: missing });
}

class RunningPolicy implements ComponentPolicy {
  readonly policyId: string;
  readonly wantsExecutableHash: boolean;
  readonly #module: WebAssembly.Module;
  #authorizer: Authorizer | undefined;
  #failures = 0;

  constructor(policyId: string, module: WebAssembly.Module, needs: PolicyNeeds) {
    this.policyId = policyId;
    this.wantsExecutableHash = needs.wantsExecutableHash === true;
    this.#module = module;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Makes the first instance; says what went wrong, or undefined. */
  start(): string | undefined {
    try {
      this.#authorizer = this.#instantiate();
      return undefined;
    } catch (error) {
      return describe(error);
    }
  }

  evaluate(request: CanonicalRequest, claims: Claims): PolicyDecision {
    try {
      this.#authorizer ??= this.#instantiate();
      const outcome = this.#authorizer.evaluate(toWitRequest(request), toWitCaller(claims), undefined);
      if (isSensible(outcome)) return { kind: outcome.kind, reason: outcome.reason, rule: outcome.rule };
    } catch {
      // Trap, bad pointer, exhausted memory or stack: all the same to the caller, and counted below.
    }
    // The glue lets some broken instances be called again; we do not.
    this.#authorizer = undefined;
    this.#failures++;
    return FAILED;
  }

  #instantiate(): Authorizer {
    const authorizer = instantiateAuthorizer(this.#module, withPosts);
    authorizer.configure(NO_SETTINGS);
    return authorizer;
  }
}

/** A module may leave out the functions that free results; the glue may not be made to call nothing. */
function withPosts(module: WebAssembly.Module): CoreExports {
  const { exports } = new WebAssembly.Instance(module);
  if (CORE_EXPORTS.posts.every((name) => name in exports)) return exports;
  return Object.assign(Object.fromEntries(CORE_EXPORTS.posts.map((name) => [name, () => undefined])), exports);
}

/** Nothing a component answers is believed unread: kind, and every text's length and characters. */
function isSensible(outcome: WitOutcome): boolean {
  if (outcome.kind !== "allow" && outcome.kind !== "deny" && outcome.kind !== "abstain") return false;
  if (outcome.reason.length > MAX_REASON_BYTES || !/^[\x20-\x7e]+$/.test(outcome.reason)) return false;
  if (!fitsIn(outcome.rule, MAX_RULE_BYTES) || outcome.labels.length > MAX_LABELS) return false;
  return outcome.labels.every(([name, value]) => fitsIn(name, MAX_LABEL_NAME_BYTES) && fitsIn(value, MAX_LABEL_VALUE_BYTES));
}

function fitsIn(text: string, maxBytes: number): boolean {
  // A UTF-16 code unit is never more than three bytes of UTF-8: short texts need no count.
  return text.length * 3 <= maxBytes || (text.length <= maxBytes && Buffer.byteLength(text) <= maxBytes);
}

function describe(error: unknown): string {
  const payload = typeof error === "object" && error !== null && "payload" in error ? error.payload : undefined;
  if (typeof payload === "string") return payload;
  return error instanceof Error ? error.message : String(error);
}
