// `azure-proxy-agent policy check`: is a rule file one that the agent takes, and does it do what it looks like?

import { parseLocalRules } from "../../core/rules/local-rules.ts";
import { count, wrap } from "../../core/text/text-layout.ts";
import { EXIT } from "../../exit-code.ts";
import type { Given } from "../command-line/spec.ts";
import { fail, printJson, printLines } from "../output.ts";
import { checkRules } from "./check-rules.ts";
import { compileRules, type JsonFile, name, readJsonFile } from "./input.ts";
import { chooseSource, describeSource, findRuleSources, type RuleSource } from "./rule-document.ts";
import type { Finding } from "./rule-finding.ts";
import type { CHECK } from "./table.ts";

export function policyCheck({ options, operands: [path = ""] }: Given<typeof CHECK.options>): number {
  const text = readJsonFile(path);
  if (!text.ok) return fail("noInput", text.error);
  const found = findRuleSources(text.value.value, options);
  if (!found.ok) return fail("noInput", `cannot check ${name(path)}: ${found.error}`);
  const chosen = options.endpoint === undefined ? found : chooseOne(found.value, options.endpoint);
  if (!chosen.ok) return fail("noInput", `cannot check ${name(path)}: ${chosen.error}`);

  const reports = chosen.value.map((source) => report(source, text.value));
  if (options.json) printJson({ file: path, rules: reports.map(reportJson) });
  else printLines(reports.flatMap((each, i) => [...(i === 0 ? [] : [""]), ...renderReport(path, each)]));
  return reports.some(({ findings }) => findings.some(({ level }) => level === "error")) ? EXIT.no : EXIT.ok;
}

function chooseOne(sources: readonly RuleSource[], endpoint: RuleSource["endpoint"]) {
  const source = chooseSource(sources, endpoint);
  return source.ok ? { ok: true as const, value: [source.value] } : source;
}

interface Placed extends Finding {
  readonly line: number;
  readonly column: number;
}

interface Report {
  readonly source: RuleSource;
  readonly findings: readonly Placed[];
  readonly omitted: number;
  readonly counts: string;
  readonly policyId: string | undefined;
}

function report(source: RuleSource, text: JsonFile): Report {
  const { findings, omitted, rules } = checkRules(source);
  const compiled = rules === undefined ? undefined : compileRules(rules, source.endpoint);
  const more: Finding[] = [];
  if (compiled?.ok === false)
    more.push({ level: "error", kind: "does-not-compile", pointer: `${source.pointer}/rules`, message: compiled.error });
  // The agent asks more of a file on the VM than of the platform's rules.
  const local = source.shape === "local" && !findings.some(({ level }) => level === "error") ? parseLocalRules(text.bytes) : undefined;
  if (local?.ok === false)
    more.push({ level: "error", kind: "local-file", pointer: "", message: `the agent refuses it as a local rule file: ${local.error}` });
  const counts =
    rules === undefined
      ? ""
      : [
          count(rules.privileges.length, "privilege"),
          count(rules.roles.length, "role"),
          count(rules.identities.length, "identity", "identities"),
          `default ${rules.defaultAccess}`,
          `mode ${rules.mode}`,
        ].join(", ");
  return {
    source,
    findings: [...more, ...findings].map((finding) => ({ ...finding, ...text.positionOf(finding.pointer) })),
    omitted,
    counts,
    policyId: compiled?.ok === true ? compiled.value.policy.policyId : undefined,
  };
}

function renderReport(path: string, { source, findings, omitted, counts, policyId }: Report): readonly string[] {
  const lines = [...wrap("", `${name(path)}: ${describeSource(source)}`)];
  for (const note of source.notes) lines.push(...wrap("  ", note));
  for (const { level, line, column, pointer, message } of findings)
    lines.push(...wrap(`  ${level.padEnd(7)} `, `line ${line}, column ${column}, ${pointer === "" ? "/" : pointer}: ${message}`));
  if (omitted > 0) lines.push(`  and ${count(omitted, "finding")} more`);
  const errors = findings.filter(({ level }) => level === "error").length;
  if (errors > 0) lines.push(`  not fine: ${count(errors, "error")}`);
  else lines.push(...wrap("  fine: ", counts), `  policy id ${policyId ?? ""}`);
  return lines;
}

function reportJson({ source, findings, omitted, policyId }: Report): Readonly<Record<string, unknown>> {
  const { shape, endpoint, pointer, notes } = source;
  return { shape, endpoint, pointer, notes, findings, omitted, policyId };
}
