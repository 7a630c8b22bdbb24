// `azure-proxy-agent module bench`: fuel and time of a module's calls, after it has become warm.

import type { PolicyQuestion } from "../../core/modules/policy-question.ts";
import { ok } from "../../core/result.ts";
import { count, quote, wrap } from "../../core/text/text-layout.ts";
import { type Options, parseOptions } from "../options.ts";
import { failed, misused, printJson, printLines, refused, refuseUsage, TOOL_EXIT, type Tool, tell } from "../output.ts";
import { readCaseFile, readCaseSettings } from "./cases.ts";
import { defaultCasesPath, onlyNamed, readUsableModule, USABLE_VALUES } from "./input.ts";
import { TriedModule } from "./module-trial.ts";
import { percentile } from "./module-trials.ts";
import { QUESTION_LISTS, QUESTION_TEXT, QUESTION_VALUES, readQuestion } from "./question.ts";

export const BENCH_USAGE = `azure-proxy-agent module bench FILE|NAME [--cases FILE | --request TEXT --caller WHO] [OPTION]...

Asks the module the same questions over and over and says what a call costs: fuel, and time with all
that goes with a call in the agent. The questions are those of the cases, in turn, or the one given.

  --cases FILE      default: cases.json beside FILE; settings of single cases are not looked at
${QUESTION_TEXT}  --settings FILE   where the cases do not say; an installed module has its own
  --calls N         1 to 1000000 (default 20000), after a tenth as many to become warm
  --fuel N, --memory N, --reason N   budgets, as in "module add"
  --config FILE     the agent's config
  --json            as JSON

Ends after 20 seconds with what it has by then. Exit codes: 0 measured, 1 the component is refused,
2 it could not be asked, 64 usage, 78 bad config
`;

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

export async function moduleBench(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv, {
    values: [...USABLE_VALUES, ...QUESTION_VALUES, "--cases", "--calls"],
    lists: QUESTION_LISTS,
    flags: ["--json"],
    operands: [1, 1],
  });
  if (!options.ok) return refuseUsage(options.error, BENCH_USAGE);
  const calls = Number(options.value.value("--calls") ?? DEFAULT_CALLS);
  if (!(Number.isInteger(calls) && calls >= 1 && calls <= 1_000_000)) return refuseUsage("--calls wants 1 to 1000000", BENCH_USAGE);
  const operand = options.value.operands[0] ?? "";
  const isOne = options.value.value("--request") !== undefined;
  if (isOne && options.value.value("--cases") !== undefined) return refuseUsage("--cases and --request exclude each other", BENCH_USAGE);
  const asking = isOne ? readOne(options.value) : readFromCases(options.value, operand);
  if (!asking.ok) return tell(asking.error);
  const beganMs = performance.now();
  const module = await readUsableModule(operand, options.value);
  if (!module.ok) return tell(module.error);
  const { compiled, budgets, entry, componentSha256 } = module.value;
  const tried = new TriedModule(compiled, budgets, asking.value.settings ?? module.value.settings);
  const asked = asking.value.questions.map((question) => ({ ...question, headers: onlyNamed(question.headers, entry?.headers) }));
  const first = tried.ask(asked[0] ?? never());
  if (!first.ok) return tell(refused(`cannot ask ${quote(operand)}: ${first.error}`).error);
  const loadMs = performance.now() - beganMs;
  const costs = measure(tried, asked, calls);
  if (options.value.has("--json")) printJson({ module: operand, sha256: componentSha256, ...costsJson(costs, loadMs), budgets });
  else printLines(render(operand, costs, loadMs, asked.length, budgets.fuel));
  return TOOL_EXIT.yes;
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

function readOne(options: Options): Tool<Asking> {
  const asked = readQuestion(options);
  if (asked.ok) return ok({ questions: [asked.value.question], settings: undefined });
  return asked.error.usage ? misused(asked.error.message, BENCH_USAGE) : failed(asked.error.message);
}

function readFromCases(options: Options, operand: string): Tool<Asking> {
  const path = options.value("--cases") ?? defaultCasesPath(operand);
  if (path === undefined) return misused("--cases, or --request and --caller, are needed", BENCH_USAGE);
  const file = readCaseFile(path);
  if (!file.ok) return file;
  const questions = file.value.cases.map(({ question }) => question);
  if (questions.length === 0) return failed("found no cases");
  const settings = file.value.settings === undefined ? ok(undefined) : readCaseSettings(file.value.settings, path);
  return settings.ok ? ok({ questions, settings: settings.value }) : settings;
}

function never(): never {
  throw new Error("internal error: no question");
}
