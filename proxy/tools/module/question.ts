// One question to a module, from the command line: request, caller and what goes with them.

import { trimBlanks } from "../../core/channel/header-names.ts";
import type { PolicyQuestion, SeenHeader } from "../../core/modules/policy-question.ts";
import { ENDPOINTS, parseEndpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { quote } from "../../core/text/text-layout.ts";
import type { Options } from "../options.ts";
import { parseRequestText } from "../policy/decide-request.ts";
import { readCaller } from "../policy/input.ts";
import { reachModules, readSoFar } from "./module-cases.ts";

export const QUESTION_VALUES = ["--request", "--caller", "--endpoint", "--uptime", "--unix", "--so-far"] as const;
export const QUESTION_LISTS = ["--header"] as const;

export const QUESTION_TEXT = `  --request TEXT    "METHOD TARGET" as in the first line of a request; a target alone means GET
  --caller WHO      a JSON file (or "-"), or name=value,... as for "policy simulate"
  --endpoint NAME   imds (default), wireserver, hostga
  --header LINE     "Metadata: true"; may be given several times
  --uptime N        seconds since boot; --unix N: seconds since 1970; 0 where not said
  --so-far KIND     what came before: allow (default), deny, abstain, or none
`;

export interface Asked {
  readonly question: PolicyQuestion;
  /** What was concluded about the caller, for people. */
  readonly notes: readonly string[];
}

/** @returns the question, or what is wrong with it; `usage` tells a wrong command line from a question that no module is asked */
export function readQuestion(options: Options): Result<Asked, { readonly usage: boolean; readonly message: string }> {
  const wrong = (message: string) => err({ usage: true, message });
  const [requestText, callerText] = [options.value("--request"), options.value("--caller")];
  if (requestText === undefined || callerText === undefined) return wrong("--request and --caller are needed");
  const endpoint = parseEndpoint(options.value("--endpoint") ?? "imds");
  if (endpoint === undefined) return wrong(`--endpoint wants ${ENDPOINTS.join(", ")}`);
  const uptimeSeconds = readSeconds(options, "--uptime");
  const unixSeconds = readSeconds(options, "--unix");
  if (uptimeSeconds === undefined || unixSeconds === undefined) return wrong("--uptime and --unix want whole seconds");
  const headers = readHeaders(options.list("--header"));
  if (!headers.ok) return wrong(headers.error);
  const soFarWord = options.value("--so-far");
  const soFar = readSoFar(soFarWord === undefined ? undefined : soFarWord === "none" ? null : { kind: soFarWord }, "");
  if (!soFar.ok) return wrong("--so-far wants allow, deny, abstain or none");
  const request = parseRequestText(requestText);
  if (!request.ok) return err({ usage: false, message: request.error });
  const caller = readCaller(callerText);
  if (!caller.ok) return err({ usage: false, message: caller.error });
  const { claims, notes } = caller.value;
  const reached = reachModules(endpoint, request.value, claims);
  if (!reached.ok) return err({ usage: false, message: reached.error });
  const question = { request: reached.value, claims, headers: headers.value, uptimeSeconds, unixSeconds, soFar: soFar.value };
  return ok({ question, notes });
}

function readSeconds(options: Options, option: "--uptime" | "--unix"): number | undefined {
  const text = options.value(option) ?? "0";
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
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
