// `azure-proxy-agent policy test`: runs the cases beside a policy and says which of its rules they tried.

import { dirname, isAbsolute, join } from "node:path";
import { err, ok, type Result } from "../../core/result.ts";
import { count } from "../../core/text/text-layout.ts";
import { EXIT } from "../../exit-code.ts";
import { findFiles, isFolder } from "../bounded-file.ts";
import type { Given } from "../command-line/spec.ts";
import { fail, printJson, printLines } from "../output.ts";
import { parseCaseFile, runCase } from "./cases.ts";
import { measureCoverage } from "./coverage.ts";
import { loadRules, loadRulesFrom, name, readJsonFile } from "./input.ts";
import { type FileOutcome, fileOutcomeJson, renderFileOutcome, renderTap } from "./render-cases.ts";
import type { TEST } from "./table.ts";

const MAX_FILES = 10_000;

export function policyTest({ options, operands }: Given<typeof TEST.options>): number {
  const files: FileOutcome[] = [];
  for (const operand of operands) {
    const paths = isFolder(operand) ? findFiles(operand, "cases.json", MAX_FILES) : ok([operand]);
    if (!paths.ok) return fail("noInput", `cannot read ${name(operand)}: ${paths.error}`);
    if (paths.value.length === 0) return fail("noInput", `cannot test ${name(operand)}: found no cases.json in it`);
    for (const path of paths.value) {
      const outcome = runFile(path);
      if (!outcome.ok) return fail("noInput", outcome.error);
      files.push(outcome.value);
    }
  }
  if (options.json) printJson(files.map(fileOutcomeJson));
  else if (options.tap) printLines(renderTap(files));
  else printLines([...files.flatMap(renderFileOutcome), summary(files)]);
  const all = files.flatMap(({ outcomes }) => outcomes);
  if (all.some(({ mismatch }) => mismatch))
    return fail("software", "INTERNAL MISMATCH: component and explanation differ; please report this");
  return all.every(({ passed }) => passed) ? EXIT.ok : EXIT.no;
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
