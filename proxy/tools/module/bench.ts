// `azure-proxy-agent module bench`: fuel and time of a module's calls, after it has become warm.

import type { PolicyQuestion } from "../../core/modules/policy-question.ts";
import { ok } from "../../core/result.ts";
import { count, quote, wrap } from "../../core/text/text-layout.ts";
import { EXIT } from "../../exit-code.ts";
import type { Given, OptionValues } from "../command-line/spec.ts";
import { failed, misused, printJson, printLines, refused, type Tool, tell } from "../output.ts";
import { name } from "../policy/input.ts";
import { readCaseFile, readCaseSettings } from "./cases.ts";
import { defaultCasesPath, onlyNamed, readUsableModule } from "./input.ts";
import { TriedModule } from "./module-trial.ts";
import { percentile } from "./module-trials.ts";
import { readQuestion } from "./question.ts";
import { BENCH } from "./table.ts";

type BenchOptions = OptionValues<typeof BENCH.options>;

const DEFAULT_CALLS = 20_000;
const MAX_MS = 20_000;

interface Asking {
  readonly questions: readonly PolicyQuestion[];
  /** Of the file of cases, which expect them. */
  readonly settings: Uint8Array | undefined;
}

interface Costs {
  /** Sorted. */
  readonly fuel: readonly number[];
  readonly microseconds: readonly number[];
  readonly failures: number;
  readonly memoryBytes: number;
}

export async function moduleBench({ options, operands: [operand = ""] }: Given<typeof BENCH.options>): Promise<number> {
  const calls = options.calls ?? DEFAULT_CALLS;
  const asking = options.request === undefined ? readFromCases(options, operand) : readOne(options);
  if (!asking.ok) return tell(asking.error);
  const beganMs = performance.now();
  const module = await readUsableModule(BENCH.name, operand, options);
  if (!module.ok) return tell(module.error);
  const { compiled, budgets, entry, componentSha256 } = module.value;
  const tried = new TriedModule(compiled, budgets, asking.value.settings ?? module.value.settings);
  const asked = asking.value.questions.map((question) => ({ ...question, headers: onlyNamed(question.headers, entry?.headers) }));
  const first = tried.ask(asked[0] ?? never());
  if (!first.ok) return tell(refused(`cannot ask ${quote(operand)}: ${first.error}`).error);
  const loadMs = performance.now() - beganMs;
  const costs = measure(tried, asked, calls);
  if (options.json) printJson({ module: operand, sha256: componentSha256, ...costsJson(costs, loadMs), budgets });
  else printLines(render(operand, costs, loadMs, asked.length, budgets.fuel));
  return EXIT.ok;
}

function measure(tried: TriedModule, questions: readonly PolicyQuestion[], calls: number): Costs {
  const fuel: number[] = [];
  const microseconds: number[] = [];
  let failures = 0;
  const deadline = performance.now() + MAX_MS;
  const warm = Math.ceil(calls / 10);
  for (let i = -warm; i < calls; i++) {
    const question = questions[(i + warm) % questions.length] ?? never();
    const began = Bun.nanoseconds();
    const trial = tried.ask(question);
    const took = (Bun.nanoseconds() - began) / 1000;
    if (performance.now() > deadline && microseconds.length > 0) break;
    if (i < 0) continue;
    microseconds.push(took);
    if (trial.ok) fuel.push(trial.value.fuel);
    if (!trial.ok || trial.value.answer === undefined) failures++;
  }
  const rising = (a: number, b: number) => a - b;
  return { fuel: fuel.sort(rising), microseconds: microseconds.sort(rising), failures, memoryBytes: tried.memoryBytes() };
}

function render(operand: string, { fuel, microseconds, failures, memoryBytes }: Costs, loadMs: number, questions: number, budget: number) {
  const time = (percent: number) => percentile(microseconds, percent).toFixed(1);
  const most = percentile(fuel, 100);
  return [
    ...wrap("", `${operand}: ${count(microseconds.length, "call")} of ${count(questions, "question")}, ${failures} failed`),
    `  time us    p50 ${time(50)}   p99 ${time(99)}   p99.9 ${time(99.9)}   most ${time(100)}`,
    `  fuel       least ${fuel[0] ?? 0}   p50 ${percentile(fuel, 50)}   p99 ${percentile(fuel, 99)}   most ${most} of ${budget}`,
    `  load       ${loadMs.toFixed(1)} ms: checked or read, compiled, started, configured, asked once`,
    `  memory     ${memoryBytes} bytes of its own`,
  ];
}

function costsJson({ fuel, microseconds, failures, memoryBytes }: Costs, loadMs: number): Readonly<Record<string, unknown>> {
  const ranks = (sorted: readonly number[]) => ({
    least: sorted[0] ?? 0,
    p50: percentile(sorted, 50),
    p99: percentile(sorted, 99),
    p999: percentile(sorted, 99.9),
    most: percentile(sorted, 100),
  });
  return { calls: microseconds.length, failures, microseconds: ranks(microseconds), fuel: ranks(fuel), loadMs, memoryBytes };
}

function readOne({ request, caller, ...options }: BenchOptions): Tool<Asking> {
  if (request === undefined || caller === undefined) return misused(BENCH.name, "--request and --caller go together");
  const asked = readQuestion(BENCH.name, { ...options, request, caller });
  return asked.ok ? ok({ questions: [asked.value.question], settings: undefined }) : asked;
}

function readFromCases({ cases, caller }: BenchOptions, operand: string): Tool<Asking> {
  if (caller !== undefined) return misused(BENCH.name, "--request and --caller go together");
  const path = cases ?? defaultCasesPath(operand);
  if (path === undefined) return misused(BENCH.name, "--cases, or --request and --caller, are needed");
  const file = readCaseFile(path);
  if (!file.ok) return file;
  const questions = file.value.cases.map(({ question }) => question);
  if (questions.length === 0) return failed("noInput", `cannot bench with ${name(path)}: found no cases in it`);
  const settings = file.value.settings === undefined ? ok(undefined) : readCaseSettings(file.value.settings, path);
  return settings.ok ? ok({ questions, settings: settings.value }) : settings;
}

function never(): never {
  throw new Error("internal error: no question");
}
