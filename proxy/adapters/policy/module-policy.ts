// A policy module as the daemon calls it. Every failure (trap, fuel, memory, nonsense) is a deny with reason `policy-failed`; the
// instance is dropped and the next call gets a fresh one. Failing and slow calls are rate limited: see core/modules/time-allowance.ts.

import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import { FAILED_ANSWER, type ModuleInForce, type ModuleReply } from "../../core/modules/policy-chain.ts";
import type { PolicyQuestion } from "../../core/modules/policy-question.ts";
import { costOfAnswer, FOR_ANSWERS, FOR_FAILURES, TimeAllowance } from "../../core/modules/time-allowance.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { type CompiledComponent, type ComponentFault, type ComponentInstance, startComponent } from "./component-instance.ts";

/** Why a question was answered `policy-failed`. */
export interface ModuleFailure {
  /** `not-asked`: rate limited, failures and slow calls took too much time lately. */
  readonly kind: ComponentFault["kind"] | "refused-settings" | "not-asked";
  /** One line for people. */
  readonly message: string;
}

export interface ModulePolicyPorts {
  readonly monotonicMs: () => number;
  /** Time that this thread has had the processor: nobody pays for what other processes do meanwhile. */
  readonly cpuMs: () => number;
  /** Called for each answer `policy-failed`. Must not throw. */
  readonly failed: (failure: ModuleFailure) => void;
}

export interface ModulePolicy extends ModuleInForce {
  /** Of the instance in use; 0 when there is none right now. */
  memoryBytes(): number;
}

const FAILED: ModuleReply = { answer: FAILED_ANSWER, failed: true };
const NOT_ASKED: ModuleFailure = {
  kind: "not-asked",
  message: "its failures and slow calls took too much time just now: denied without asking it",
};

/** Starts and configures the component once to see that it can; says in words why not. */
export function startModulePolicy(
  entry: ModuleEntry,
  component: CompiledComponent,
  settings: Uint8Array,
  ports: ModulePolicyPorts,
): Result<ModulePolicy, string> {
  const policy = new RunningModule(entry, component, settings, ports);
  const trouble = policy.start();
  return trouble === undefined ? ok(policy) : err(trouble.message);
}

class RunningModule implements ModulePolicy {
  readonly name: string;
  readonly audit: boolean;
  readonly policyId: string;
  readonly headers: ReadonlySet<string>;
  readonly #entry: ModuleEntry;
  readonly #component: CompiledComponent;
  readonly #settings: Uint8Array;
  readonly #ports: ModulePolicyPorts;
  readonly #failures = new TimeAllowance(FOR_FAILURES);
  readonly #slowAnswers = new TimeAllowance(FOR_ANSWERS);
  #instance: ComponentInstance | undefined;
  /** Time of the last start: a user whose call makes an instance fail is charged for the next one, too. */
  #startMs = 0;

  constructor(entry: ModuleEntry, component: CompiledComponent, settings: Uint8Array, ports: ModulePolicyPorts) {
    this.name = entry.name;
    this.audit = entry.audit;
    this.policyId = entry.componentSha256;
    this.headers = new Set(entry.headers);
    this.#entry = entry;
    this.#component = component;
    this.#settings = settings;
    this.#ports = ports;
  }

  start(): ModuleFailure | undefined {
    const beganMs = this.#ports.cpuMs();
    const started = startComponent(this.#component, this.#entry.budgets);
    const failure = started.ok ? this.#configure(started.value) : started.error;
    this.#instance = started.ok && failure === undefined ? started.value : undefined;
    this.#startMs = this.#ports.cpuMs() - beganMs;
    return failure;
  }

  #configure(instance: ComponentInstance): ModuleFailure | undefined {
    const configured = instance.configure(this.#settings);
    if (!configured.ok) return configured.error;
    return configured.value === undefined
      ? undefined
      : { kind: "refused-settings", message: `it refuses its settings: ${configured.value}` };
  }

  ask(question: PolicyQuestion): ModuleReply {
    const { userId } = question.claims;
    const nowMs = this.#ports.monotonicMs();
    if (!this.#failures.mayAsk(userId, nowMs) || !this.#slowAnswers.mayAsk(userId, nowMs)) {
      this.#ports.failed(NOT_ASKED);
      return FAILED;
    }
    const beganMs = this.#ports.cpuMs();
    const failure = this.#instance === undefined ? this.start() : undefined;
    const instance = this.#instance;
    const answer = instance?.evaluate(question);
    const tookMs = this.#ports.cpuMs() - beganMs;
    if (answer?.ok) {
      const costMs = costOfAnswer(tookMs, instance?.fuelSpent() ?? 0);
      if (costMs > 0) this.#slowAnswers.charge(userId, costMs, this.#ports.monotonicMs());
      return { answer: answer.value, failed: false };
    }
    this.#instance = undefined;
    this.#failures.charge(userId, tookMs + this.#startMs, this.#ports.monotonicMs());
    const cause = failure ?? answer?.error;
    if (cause !== undefined) this.#ports.failed(cause);
    return FAILED;
  }

  memoryBytes(): number {
    return this.#instance?.memoryBytes() ?? 0;
  }
}
