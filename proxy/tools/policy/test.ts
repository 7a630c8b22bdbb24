// `azure-proxy-agent policy test`: runs the cases beside a policy and says which of its rules they tried.

import { dirname, isAbsolute, join } from "node:path";
import { err, ok, type Result } from "../../core/result.ts";
import { count } from "../../core/text/text-layout.ts";
import { findFiles, isFolder } from "../bounded-file.ts";
import { parseOptions } from "../options.ts";
import { fail, printJson, printLines, refuseUsage, TOOL_EXIT } from "../output.ts";
import { parseCaseFile, runCase } from "./cases.ts";
import { measureCoverage } from "./coverage.ts";
import { loadRules, loadRulesFrom, name, readJsonFile } from "./input.ts";
import { type FileOutcome, fileOutcomeJson, renderFileOutcome, renderTap } from "./render-cases.ts";

export const TEST_USAGE = `azure-proxy-agent policy test [--tap | --json] FILE|FOLDER...

Runs policy cases with the compiled policy. In a folder every file called cases.json counts, at any
depth. Such a file:

  { "rules": "rules.json",         a rule file beside it, or the rules themselves
    "endpoint": "imds",            optional
    "mode": "enforce",             optional, in place of the mode in the rules
    "cases": [
      { "name": "alice may read", "request": "GET /metadata/instance",
        "caller": "userName=alice", "expect": "allow" } ] }

A caller is an object with the members of a request's log line, or name=value,... . "expect" is
allow, deny, or audit (the rules deny, the mode forwards); "reason" and "rule" are compared when
given. What was never tried as granting and as denying is listed.

  --tap    Test Anything Protocol, version 14
  --json   as JSON

Exit codes: 0 all cases hold, 1 some do not, 2 a file cannot be read or holds no valid cases,
64 usage
`;

const MAX_FILES = 10_000;

export function policyTest(argv: readonly string[]): number {
  const options = parseOptions(argv, { values: [], flags: ["--tap", "--json"], operands: [1, 1_000] });
  if (!options.ok) return refuseUsage(options.error, TEST_USAGE);
  if (options.value.has("--tap") && options.value.has("--json")) return refuseUsage("--tap and --json exclude each other", TEST_USAGE);
  const files: FileOutcome[] = [];
  for (const operand of options.value.operands) {
    const paths = isFolder(operand) ? findFiles(operand, "cases.json", MAX_FILES) : ok([operand]);
    if (!paths.ok) return fail(`cannot read ${name(operand)}: ${paths.error}`);
    if (paths.value.length === 0) return fail(`cannot test ${name(operand)}: found no cases.json in it`);
    for (const path of paths.value) {
      const outcome = runFile(path);
      if (!outcome.ok) return fail(outcome.error);
      files.push(outcome.value);
    }
  }
  if (options.value.has("--json")) printJson(files.map(fileOutcomeJson));
  else if (options.value.has("--tap")) printLines(renderTap(files));
  else printLines([...files.flatMap(renderFileOutcome), summary(files)]);
  const all = files.flatMap(({ outcomes }) => outcomes);
  if (all.some(({ mismatch }) => mismatch)) return fail("INTERNAL MISMATCH: component and explanation differ; please report this");
  return all.every(({ passed }) => passed) ? TOOL_EXIT.yes : TOOL_EXIT.no;
}

function runFile(path: string): Result<FileOutcome, string> {
  const text = readJsonFile(path);
  if (!text.ok) return text;
  const file = parseCaseFile(text.value.value);
  if (!file.ok) {
    const { line, column } = text.value.positionOf(file.error.pointer);
    return err(`cannot use cases ${name(path)}: line ${line}, column ${column}: ${file.error.message}`);
  }
  const { rules: from, cases, ...choices } = file.value;
  const loaded =
    from.kind === "inline"
      ? loadRulesFrom(from.json, choices, `cannot use rules in ${name(path)}`)
      : loadRules(isAbsolute(from.path) || path === "-" ? from.path : join(dirname(path), from.path), choices);
  if (!loaded.ok) return loaded;
  const { rules, endpoint, policy } = loaded.value;
  const outcomes = cases.map((each) => runCase(rules, endpoint, rules.mode, policy, each));
  return ok({ path, outcomes, coverage: measureCoverage(rules, outcomes) });
}

function summary(files: readonly FileOutcome[]): string {
  const all = files.flatMap(({ outcomes }) => outcomes);
  const failed = all.filter(({ passed }) => !passed).length;
  return `${count(all.length - failed, "case")} passed, ${failed} failed`;
}
