// `azure-proxy-agent policy suggest`: from request lines to a rule set, proven with the compiled component before anybody uses it.
// The rules go to standard output or a file, words for people to standard error.

import { existsSync, lstatSync, writeFileSync } from "node:fs";
import { compilePolicy, loadPolicy, renderCompileError } from "../../adapters/policy/component.ts";
import { writeAtomically } from "../../adapters/storage/atomic-write.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { parseRuleItem, renderRuleError } from "../../core/rules/rules.ts";
import { escapeForTerminal } from "../../core/text/terminal-text.ts";
import { quote } from "../../core/text/text-layout.ts";
import { describeError } from "../../core/thrown.ts";
import { EXIT } from "../../exit-code.ts";
import type { Given } from "../command-line/spec.ts";
import { refuseUsage } from "../command-line/usage-error.ts";
import { readLines } from "../input.ts";
import { readLogLine } from "../log-lines.ts";
import { fail } from "../output.ts";
import { makeObserver } from "./observed-requests.ts";
import { isProven, proveSuggestion } from "./prove-suggestion.ts";
import { type EndpointProof, renderLineCounts, renderSuggestion } from "./render-suggestion.ts";
import { describeShape } from "./request-shape.ts";
import { endpointsDecidedBy, type Suggestion, suggestRules } from "./suggest-rules.ts";
import { SUGGEST } from "./table.ts";

const PROGRESS_LINES = 50_000;

export function suggestPolicy({ options, operands }: Given<typeof SUGGEST.options>): number {
  const {
    endpoint = "imds",
    default: defaultAccess = "deny",
    "min-count": minCount = 1,
    "include-denied": includeDenied,
    output,
  } = options;
  if (operands.length === 0 && process.stdin.isTTY === true)
    return refuseUsage(SUGGEST.name, "FILE is missing, and standard input is a terminal");
  const files = operands.length === 0 ? ["-"] : operands;
  const observer = makeObserver(endpointsDecidedBy(endpoint), { includeDenied });
  const lines = { lines: 0, requests: 0, foreign: 0, malformed: 0 };
  const progress = makeProgress(options.progress);
  const read = readLines(files, (text) => {
    lines.lines++;
    if (lines.lines % PROGRESS_LINES === 0) progress.tell(lines.lines);
    const reading = text === undefined ? { kind: "malformed" as const } : readLogLine(text);
    if (reading.kind === "foreign") lines.foreign++;
    else if (reading.kind === "malformed") lines.malformed++;
    else {
      lines.requests++;
      observer.add(reading.request);
    }
  });
  progress.end();
  if (!read.ok) return fail("noInput", `cannot read ${quote(read.error.name)}: ${read.error.cause}`);

  const observed = observer.result();
  const suggestion = suggestRules(observed, { endpoint, defaultAccess, minCount });
  if (suggestion.covered.length === 0) {
    process.stderr.write(renderSuggestion(suggestion, observed, lines, endpoint, []));
    return fail(
      "no",
      lines.requests === 0
        ? `cannot suggest rules: no request lines found (${renderLineCounts(lines)})`
        : `cannot suggest rules: none of the requests for ${endpoint} can be allowed by a rule`,
    );
  }
  const proofs = prove(suggestion, endpoint);
  if (!proofs.ok) return fail("no", `cannot suggest rules: ${proofs.error}; --min-count makes them fewer`);

  const proven = proofs.value.every(({ proof }) => isProven(proof));
  process.stderr.write(renderSuggestion(suggestion, observed, lines, endpoint, proofs.value));
  const rulesText = `${escapeJson(JSON.stringify(suggestion.item, null, 2))}\n`;
  // Rules that failed their own proof are shown in --json only, where nobody takes them for usable.
  const printed = options.json ? renderJson(suggestion, proofs.value, lines, proven) : output === undefined ? rulesText : "";
  if (output !== undefined && proven) {
    const trouble = writeOutput(output, rulesText);
    if (trouble !== undefined) return fail("cannotCreate", `cannot write ${quote(output)}: ${trouble}`);
    process.stderr.write(`rules written to "${escapeForTerminal(output)}"\n`);
  }
  if (proven || options.json) process.stdout.write(printed);
  return proven ? EXIT.ok : EXIT.no;
}

/** Compiles the rules as the agent does, for each endpoint they decide, and puts them to the test. */
function prove(suggestion: Suggestion, endpoint: Endpoint): Result<readonly EndpointProof[], string> {
  const rules = parseRuleItem(suggestion.item);
  if (!rules.ok) return err(renderRuleError(rules.error));
  const proofs: EndpointProof[] = [];
  for (const each of endpointsDecidedBy(endpoint)) {
    if (each !== endpoint && !suggestion.covered.some(({ shape }) => shape.endpoint === each)) continue;
    const component = compilePolicy(rules.value, each);
    if (!component.ok) return err(renderCompileError(component.error));
    const policy = loadPolicy(component.value);
    if (!policy.ok) return err(`cannot load the compiled component: ${JSON.stringify(policy.error)}`);
    const { policyId } = policy.value;
    const proof = proveSuggestion(suggestion, each, (request, claims) => policy.value.evaluate(request, claims));
    proofs.push({ endpoint: each, policyId, proof });
  }
  return ok(proofs);
}

function renderJson(suggestion: Suggestion, proofs: readonly EndpointProof[], lines: object, proven: boolean): string {
  const identities = suggestion.identities.map(({ name, selectors, callers, privileges, opened, merged }) => ({
    name,
    ...selectors,
    requests: callers.reduce((sum, { count }) => sum + count, 0),
    seen: callers.map(({ exePath, note, count }) => ({ exePath, note, requests: count })),
    privileges: privileges.map(describeShape),
    opened,
    merged,
  }));
  const { item, uncovered } = suggestion;
  return `${escapeJson(JSON.stringify({ rules: item, identities, notCovered: uncovered, lines, proven, proofs }, null, 2))}\n`;
}

/** JSON escapes C0 controls itself; what else could move a terminal is escaped here, with the same meaning. */
function escapeJson(json: string): string {
  return json.split("\n").map(escapeForTerminal).join("\n");
}

function writeOutput(path: string, text: string): string | undefined {
  try {
    // A device or a pipe is written to, never replaced.
    if (existsSync(path) && !lstatSync(path).isFile()) writeFileSync(path, text);
    else {
      const written = writeAtomically(path, text, 0o644, false);
      if (!written.ok) return written.error.code;
    }
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

function makeProgress(wanted: boolean): { tell(lines: number): void; end(): void } {
  const terminal = process.stderr.isTTY === true;
  let told = false;
  return {
    tell(lines) {
      if (!wanted && !terminal) return;
      told = true;
      process.stderr.write(terminal ? `\r${lines} lines` : `${lines} lines\n`);
    },
    end() {
      if (told && terminal) process.stderr.write("\n");
    },
  };
}
