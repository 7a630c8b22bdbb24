// One question to a module, from the command line: request, caller and what goes with them.

import type { PolicyQuestion, SeenHeader } from "../../core/modules/policy-question.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { quote } from "../../core/text/text-layout.ts";
import type { OptionValues } from "../command-line/spec.ts";
import { refuseUsage } from "../command-line/usage-error.ts";
import { fail } from "../output.ts";
import { parseRequestText } from "../policy/decide-request.ts";
import { readCaller } from "../policy/input.ts";
import { reachModules, readSoFar } from "./module-cases.ts";
import type { QUESTION_OPTIONS } from "./table.ts";

type QuestionOptions = OptionValues<typeof QUESTION_OPTIONS>;

export interface Asked {
  readonly question: PolicyQuestion;
  /** What was concluded about the caller, for people. */
  readonly notes: readonly string[];
}

export interface QuestionError {
  /** `usage`: a wrong command line; `input`: a file that it names; `no`: a request that is refused before any module. */
  readonly kind: "usage" | "input" | "no";
  readonly message: string;
}

export function readQuestion(options: QuestionOptions): Result<Asked, QuestionError> {
  const { endpoint = "imds", uptime: uptimeSeconds = 0, unix: unixSeconds = 0, "so-far": soFarWord } = options;
  const headers = readHeaders(options.header);
  if (!headers.ok) return err({ kind: "usage", message: headers.error });
  const soFar = readSoFar(soFarWord === undefined ? undefined : soFarWord === "none" ? null : { kind: soFarWord }, "");
  // The table has the words that it takes.
  if (!soFar.ok) throw new Error(`internal error: --so-far ${String(soFarWord)}`);
  const request = parseRequestText(options.request);
  if (!request.ok) return err({ kind: "usage", message: request.error });
  const caller = readCaller(options.caller);
  if (!caller.ok) return caller;
  const { claims, notes } = caller.value;
  const reached = reachModules(endpoint, request.value, claims);
  if (!reached.ok) return err({ kind: "no", message: reached.error });
  const question = { request: reached.value, claims, headers: headers.value, uptimeSeconds, unixSeconds, soFar: soFar.value };
  return ok({ question, notes });
}

/** Tells the error and gives its exit code. */
export function refuseQuestion(command: string, { kind, message }: QuestionError): number {
  return kind === "usage" ? refuseUsage(command, message) : fail(kind === "input" ? "noInput" : "no", message);
}

function readHeaders(lines: readonly string[]): Result<readonly SeenHeader[], string> {
  const headers: SeenHeader[] = [];
  for (const line of lines) {
    const match = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)$/.exec(line);
    if (match === null) return err(`--header wants "Name: value", found ${quote(line)}`);
    headers.push({ name: (match[1] ?? "").toLowerCase(), value: (match[2] ?? "").replace(/[ \t]+$/, "") });
  }
  return ok(headers);
}
