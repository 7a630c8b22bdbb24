// The rules component as the agent runs it. Any failure inside one (trap, exception, nonsense) is a deny with reason
// `policy-failed`, and the next call gets a fresh instance. No exception may leave this file; it fails closed.

import { createHash } from "node:crypto";
import { MAX_REASON_BYTES, type SeenHeader } from "../../core/modules/policy-question.ts";
import type { Policy, PolicyDecision } from "../../core/ports.ts";
import type { Claims } from "../../core/request/caller.ts";
import type { CanonicalRequest } from "../../core/request/canonical-request.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import type { ComponentPlan, CoreItem, LiftedFunction } from "../../core/wasm/component-plan.ts";
import { type BinaryError, extractCoreModule } from "../../core/wasm/wasm-binary.ts";
import { type CompiledComponent, type ComponentInstance, startComponent } from "./component-instance.ts";

export { type CompileError, compilePolicy, readCompiledRules, renderCompileError } from "./compile-rules.ts";

export type PolicyLoadError =
  | BinaryError
  | { readonly kind: "invalid-module"; readonly cause: string }
  | { readonly kind: "has-imports"; readonly found: string }
  | { readonly kind: "missing-export"; readonly name: string }
  /** It could be instantiated but not configured; for our own components, damaged tables. */
  | { readonly kind: "refused-to-start"; readonly cause: string };

/** A policy that also reports how often it failed. */
export interface ComponentPolicy extends Policy {
  /** Calls answered `policy-failed` since loading. */
  readonly failures: number;
}

/** Facts a policy needs in addition to those every caller has. */
export type PolicyNeeds = Pick<Policy, "wantsExecutableHash" | "wantsAccountNames">;

const FAILED: PolicyDecision = { kind: "deny", reason: "policy-failed", rule: "" };
const NO_SETTINGS = new Uint8Array();
const NO_HEADERS: readonly SeenHeader[] = [];

/** Core names of a component with one core module, as component tools write them. */
const INTERFACE = "azure:proxy-agent-policy/authorizer@1.0.0";
const MEMORY = "memory";
const REALLOC = "cabi_realloc";
const FUNCTIONS = ["validate-settings", "configure", "evaluate"] as const;

/** Our own engine is not metered and has its memory's maximum in its module (64 MiB); its answers are bound like all others. */
const ENGINE_BUDGETS = { fuel: 0, memoryBytes: 1024 * 65_536, reasonBytes: MAX_REASON_BYTES };

/** Lower-case hex SHA-256 of a component file. */
export function policyIdOf(component: Uint8Array): string {
  return createHash("sha256").update(component).digest("hex");
}

/**
 * Loads a component of world `policy` that has one core module, and starts it once to see that it can.
 * The caller must trust the file: nothing here limits how long or with how much memory it runs.
 * @param needs - which facts its rules need; kept with the policy
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

function compileModule(core: Uint8Array): Result<CompiledComponent, PolicyLoadError> {
  let module: WebAssembly.Module;
  try {
    module = new WebAssembly.Module(new Uint8Array(core));
  } catch (error) {
    return err({ kind: "invalid-module", cause: describeError(error) });
  }
  const wanted = WebAssembly.Module.imports(module)[0];
  if (wanted !== undefined) return err({ kind: "has-imports", found: `${wanted.module} ${wanted.name}` });
  const kinds = new Map(WebAssembly.Module.exports(module).map(({ name, kind }) => [name, kind]));
  const missing =
    kinds.get(MEMORY) !== "memory"
      ? MEMORY
      : [REALLOC, ...FUNCTIONS.map((name) => `${INTERFACE}#${name}`)].find((name) => kinds.get(name) !== "function");
  if (missing !== undefined) return err({ kind: "missing-export", name: missing });
  return ok({ plan: planOfOne((name) => kinds.get(name) === "function"), modules: [module], fuelImport: undefined });
}

/** @param exported - whether the module has a function of that name: those that free results may be missing */
function planOfOne(exported: (name: string) => boolean): ComponentPlan {
  const item = (sort: CoreItem["sort"], name: string): CoreItem => ({ sort, instance: 0, name });
  const lifted = (name: (typeof FUNCTIONS)[number]): LiftedFunction => {
    const post = `cabi_post_${INTERFACE}#${name}`;
    return {
      function: item("func", `${INTERFACE}#${name}`),
      memory: item("memory", MEMORY),
      realloc: item("func", REALLOC),
      postReturn: exported(post) ? item("func", post) : undefined,
      encoding: "utf8",
    };
  };
  return {
    worldVersion: "1.0.0",
    moduleCount: 1,
    instances: [{ kind: "module", module: 0, imports: [] }],
    validateSettings: lifted("validate-settings"),
    configure: lifted("configure"),
    evaluate: lifted("evaluate"),
  };
}

class RunningPolicy implements ComponentPolicy {
  readonly policyId: string;
  readonly wantsExecutableHash: boolean;
  readonly wantsAccountNames: boolean;
  readonly #component: CompiledComponent;
  #instance: ComponentInstance | undefined;
  #failures = 0;

  constructor(policyId: string, component: CompiledComponent, needs: PolicyNeeds) {
    this.policyId = policyId;
    this.wantsExecutableHash = needs.wantsExecutableHash === true;
    this.wantsAccountNames = needs.wantsAccountNames === true;
    this.#component = component;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Makes an instance; says what went wrong, or undefined. */
  start(): string | undefined {
    const started = startComponent(this.#component, ENGINE_BUDGETS);
    if (!started.ok) return started.error.message;
    const configured = started.value.configure(NO_SETTINGS);
    if (!configured.ok) return configured.error.message;
    if (configured.value !== undefined) return configured.value;
    this.#instance = started.value;
    return undefined;
  }

  evaluate(request: CanonicalRequest, claims: Claims): PolicyDecision {
    if (this.#instance !== undefined || this.start() === undefined) {
      // Without header fields and clock: all that the rules component may see.
      const question = { request, claims, headers: NO_HEADERS, uptimeSeconds: 0, unixSeconds: 0, soFar: undefined };
      const answer = this.#instance?.evaluate(question);
      if (answer?.ok) {
        const { kind, reason, rule } = answer.value;
        return { kind, reason, rule };
      }
    }
    // Trap, bad pointer, exhausted memory or stack: all the same to the caller.
    this.#instance = undefined;
    this.#failures++;
    return FAILED;
  }
}
