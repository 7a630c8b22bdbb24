// One question to a module, from the command line: request, caller and what goes with them.

import { trimBlanks } from "../../core/channel/header-names.ts";
import type { PolicyQuestion, SeenHeader } from "../../core/modules/policy-question.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { quote } from "../../core/text/text-layout.ts";
import type { OptionValues } from "../command-line/spec.ts";
import { failed, misused, type Tool } from "../output.ts";
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

/** @param command - its words, for messages */
export function readQuestion(command: string, options: QuestionOptions): Tool<Asked> {
  const { endpoint = "imds", uptime: uptimeSeconds = 0, unix: unixSeconds = 0, "so-far": soFarWord } = options;
  const headers = readHeaders(options.header);
  if (!headers.ok) return misused(command, headers.error);
  const soFar = readSoFar(soFarWord === undefined ? undefined : soFarWord === "none" ? null : { kind: soFarWord }, "");
  // The table has the words that it takes.
  if (!soFar.ok) throw new Error(`internal error: --so-far ${String(soFarWord)}`);
  const request = parseRequestText(options.request);
  if (!request.ok) return misused(command, request.error);
  const caller = readCaller(options.caller);
  if (!caller.ok) {
    const { kind, message } = caller.error;
    return kind === "usage" ? misused(command, message) : failed("noInput", message);
  }
  const { claims, notes } = caller.value;
  const reached = reachModules(endpoint, request.value, claims);
  // A request that is denied before any module.
  if (!reached.ok) return failed("no", reached.error);
  const question = { request: reached.value, claims, headers: headers.value, uptimeSeconds, unixSeconds, soFar: soFar.value };
  return ok({ question, notes });
}

function readHeaders(lines: readonly string[]): Result<readonly SeenHeader[], string> {
  const headers: SeenHeader[] = [];
  for (const line of lines) {
    const match = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\x00-\x08\x0a-\x1f\x7f]*)$/.exec(line);
    if (match === null) return err(`--header wants "Name: value", found ${quote(line)}`);
    headers.push({ name: (match[1] ?? "").toLowerCase(), value: trimBlanks(match[2] ?? "") });
  }
  return ok(headers);
}
