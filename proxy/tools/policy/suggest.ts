// `azure-proxy-agent policy suggest`: from request lines to a rule set, proven with the compiled component before anybody uses it.
// The rules go to standard output or a file, words for people to standard error.

import { existsSync, lstatSync, writeFileSync } from "node:fs";
import { compilePolicy, loadPolicy, renderCompileError } from "../../adapters/policy/component.ts";
import { writeAtomically } from "../../adapters/storage/atomic-write.ts";
import { ENDPOINTS, type Endpoint, parseEndpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { DEFAULT_ACCESSES, type DefaultAccess, parseRuleItem, renderRuleError } from "../../core/rules/rules.ts";
import { escapeForTerminal } from "../../core/text/terminal-text.ts";
import { describeError } from "../../core/thrown.ts";
import { EXIT } from "../../exit-code.ts";
import { readLines } from "../input.ts";
import { readLogLine } from "../log-lines.ts";
import { makeObserver } from "./observed-requests.ts";
import { isProven, proveSuggestion } from "./prove-suggestion.ts";
import { type EndpointProof, renderLineCounts, renderSuggestion } from "./render-suggestion.ts";
import { describeShape } from "./request-shape.ts";
import { endpointsDecidedBy, type Suggestion, suggestRules } from "./suggest-rules.ts";

export const SUGGEST_USAGE = `azure-proxy-agent policy suggest [OPTION]... [FILE | -]...

Reads request lines of the agent's log (files, or standard input) and proposes the rules that allow what they show, and no more.

  --endpoint NAME     imds (default), wireserver (with HostGAPlugin, which follows it) or hostga
  --min-count N       leave out what was asked for less than N times (default 1)
  --default WORD      default access of the rules: deny (default) or allow
  --include-denied    take requests too that were denied under enforce
  -o, --output FILE   write the rules there instead of to standard output
  --json              print rules, reasons and proof as one JSON object
  --progress          tell how far it is, also when standard error is no terminal

  journalctl -u azure-proxy-agent -o cat | azure-proxy-agent policy suggest -o rules.json

Exit codes: 0 rules proven, 1 nothing to suggest or the proof failed, 64 usage, 66 unreadable input, 73 unwritable output
`;

interface Options {
  readonly files: readonly string[];
  readonly endpoint: Endpoint;
  readonly minCount: number;
  readonly defaultAccess: DefaultAccess;
  readonly includeDenied: boolean;
  readonly output: string | undefined;
  readonly json: boolean;
  readonly progress: boolean;
}

const PROGRESS_LINES = 50_000;

/** @returns the exit code */
export function suggestPolicy(argv: readonly string[]): number {
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(SUGGEST_USAGE);
    return EXIT.ok;
  }
  const options = parseOptions(argv);
  if (!options.ok) return complain(`${options.error}\n\n${SUGGEST_USAGE.trimEnd()}`, EXIT.usage);
  const { endpoint, defaultAccess, minCount } = options.value;

  const observer = makeObserver(endpointsDecidedBy(endpoint), options.value);
  const lines = { lines: 0, requests: 0, foreign: 0, malformed: 0 };
  const progress = makeProgress(options.value.progress);
  const read = readLines(options.value.files, (text) => {
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
  if (!read.ok) return complain(`cannot read "${read.error.name}": ${read.error.cause}`, EXIT.noInput);

  const observed = observer.result();
  const suggestion = suggestRules(observed, { endpoint, defaultAccess, minCount });
  if (suggestion.covered.length === 0) {
    process.stderr.write(renderSuggestion(suggestion, observed, lines, endpoint, []));
    return complain(
      lines.requests === 0
        ? `cannot suggest rules: no request lines found (${renderLineCounts(lines)})`
        : `cannot suggest rules: none of the requests for ${endpoint} can be allowed by a rule`,
      EXIT.failed,
    );
  }
  const proofs = prove(suggestion, endpoint);
  if (!proofs.ok) return complain(`cannot suggest rules: ${proofs.error}; --min-count makes them fewer`, EXIT.failed);

  const proven = proofs.value.every(({ proof }) => isProven(proof));
  process.stderr.write(renderSuggestion(suggestion, observed, lines, endpoint, proofs.value));
  const rulesText = `${escapeJson(JSON.stringify(suggestion.item, null, 2))}\n`;
  // Rules that failed their own proof are shown in --json only, where nobody takes them for usable.
  const printed = options.value.json
    ? renderJson(suggestion, proofs.value, lines, proven)
    : options.value.output === undefined
      ? rulesText
      : "";
  if (options.value.output !== undefined && proven) {
    const trouble = writeOutput(options.value.output, rulesText);
    if (trouble !== undefined) return complain(`cannot write "${options.value.output}": ${trouble}`, EXIT.cannotCreate);
    process.stderr.write(`rules written to "${escapeForTerminal(options.value.output)}"\n`);
  }
  if (proven || options.value.json) process.stdout.write(printed);
  return proven ? EXIT.ok : EXIT.failed;
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

function complain(message: string, code: number): number {
  process.stderr.write(`azure-proxy-agent: ${message}\n`);
  return code;
}

function parseOptions(argv: readonly string[]): Result<Options, string> {
  const files: string[] = [];
  let endpoint: Endpoint = "imds";
  let minCount = 1;
  let defaultAccess: DefaultAccess = "deny";
  let output: string | undefined;
  const flags = { includeDenied: false, json: false, progress: false };
  const words = [...argv];
  let onlyFiles = false;
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (onlyFiles || word === "-" || !word.startsWith("-")) {
      files.push(word);
      continue;
    }
    if (word === "--") onlyFiles = true;
    else if (word === "--include-denied") flags.includeDenied = true;
    else if (word === "--json") flags.json = true;
    else if (word === "--progress") flags.progress = true;
    else if (["--endpoint", "--min-count", "--default", "--output", "-o"].includes(word)) {
      const value = words.shift();
      if (value === undefined || value === "") return err(`${word} wants a value`);
      if (word === "--endpoint") {
        const known = parseEndpoint(value);
        if (known === undefined) return err(`--endpoint wants ${ENDPOINTS.join(", ")}, found "${escapeForTerminal(value)}"`);
        endpoint = known;
      } else if (word === "--default") {
        const known = DEFAULT_ACCESSES.find((name) => name === value);
        if (known === undefined) return err(`--default wants ${DEFAULT_ACCESSES.join(" or ")}, found "${escapeForTerminal(value)}"`);
        defaultAccess = known;
      } else if (word === "--min-count") {
        if (!/^[1-9][0-9]{0,8}$/.test(value)) return err(`--min-count wants a whole number from 1, found "${escapeForTerminal(value)}"`);
        minCount = Number(value);
      } else output = value;
    } else return err(`unknown option "${escapeForTerminal(word)}"`);
  }
  if (files.length === 0) {
    if (process.stdin.isTTY === true) return err("no input: name files, or give lines on standard input");
    files.push("-");
  }
  return ok({ files, endpoint, minCount, defaultAccess, output, ...flags });
}
