// `azure-proxy-agent policy compile` and `inspect`: from rules to the component file that the agent runs, and back.

import { loadPolicy, policyIdOf, readCompiledRules } from "../../adapters/policy/component.ts";
import { readEngineTemplate } from "../../adapters/policy/engine-artifact.ts";
import { writeAtomically } from "../../adapters/storage/atomic-write.ts";
import { ENDPOINT_FACTS, ENDPOINTS } from "../../core/request/endpoint.ts";
import { count, quote, wrap } from "../../core/text/text-layout.ts";
import { readBoundedFile } from "../bounded-file.ts";
import { parseOptions } from "../options.ts";
import { fail, printJson, printLines, printNotes, refuseUsage, TOOL_EXIT } from "../output.ts";
import { compileRules, loadRules, name } from "./input.ts";
import { readRuleChoices } from "./rule-choices.ts";
import { readCarriedRules, renderRuleItem } from "./rule-item.ts";

export const COMPILE_USAGE = `azure-proxy-agent policy compile [--endpoint NAME] [--mode WORD] [--json] RULES -o FILE

Compiles rules to a WebAssembly component, the same bytes as the agent makes of them. "-o -" writes
to standard output.

  --endpoint NAME     imds (default), wireserver, hostga, where the file does not say
  --mode WORD         in place of the file's mode; the component carries it along
  --json              what was made, as JSON (on standard error with "-o -")

Exit codes: 0 compiled, 2 it could not be, 64 usage
`;

export const INSPECT_USAGE = `azure-proxy-agent policy inspect [--rules] [--json] FILE

Says what a compiled policy holds: endpoint, rule set, counts, policy id, and whether this program's
engine makes the very same file of the rules in it.

  --rules   print the rules as the platform's JSON item instead
  --json    as JSON

Exit codes: 0 it is a policy and this engine makes the same file, 1 it is one, but of another engine
or changed, 2 it is none, 64 usage
`;

const MAX_COMPONENT_BYTES = 64 * 1024 * 1024;

export function policyCompile(argv: readonly string[]): number {
  const options = parseOptions(argv, { values: ["--endpoint", "--mode", "-o", "--output"], flags: ["--json"], operands: [1, 1] });
  if (!options.ok) return refuseUsage(options.error, COMPILE_USAGE);
  const choices = readRuleChoices(options.value);
  if (!choices.ok) return refuseUsage(choices.error, COMPILE_USAGE);
  const output = options.value.value("-o") ?? options.value.value("--output");
  if (output === undefined) return refuseUsage("-o is needed", COMPILE_USAGE);
  const loaded = loadRules(options.value.operands[0] ?? "", choices.value);
  if (!loaded.ok) return fail(loaded.error);
  const { component, policy, endpoint, rules, notes } = loaded.value;
  const made = { policyId: policy.policyId, bytes: component.length, endpoint, ruleSetId: rules.id, notes };
  if (output === "-") {
    process.stdout.write(component);
    process.stderr.write(options.value.has("--json") ? `${JSON.stringify(made)}\n` : `policy id ${policy.policyId}\n`);
    return TOOL_EXIT.yes;
  }
  const written = writeAtomically(output, component, 0o644, false);
  if (!written.ok) return fail(written.error.message);
  if (options.value.has("--json")) printJson({ file: output, ...made });
  else {
    printNotes(notes);
    printLines([
      ...wrap("", `${name(output)}: ${count(component.length, "byte")}, for ${ENDPOINT_FACTS[endpoint].title}`),
      `policy id ${policy.policyId}`,
    ]);
  }
  return TOOL_EXIT.yes;
}

export function policyInspect(argv: readonly string[]): number {
  const options = parseOptions(argv, { values: [], flags: ["--rules", "--json"], operands: [1, 1] });
  if (!options.ok) return refuseUsage(options.error, INSPECT_USAGE);
  const path = options.value.operands[0] ?? "";
  const trouble = `cannot inspect ${name(path)}`;
  const bytes = readBoundedFile(path, MAX_COMPONENT_BYTES);
  if (!bytes.ok) return fail(`${trouble}: ${bytes.error}`);
  const carried = readCompiledRules(bytes.value);
  if (!carried.ok)
    return fail(
      `${trouble}: ${carried.error.kind === "no-rules-section" ? "it carries no rules" : `it is no policy (${carried.error.kind})`}`,
    );
  const endpoint = ENDPOINTS.find((known) => known === carried.value.endpoint);
  if (endpoint === undefined) return fail(`${trouble}: it names no endpoint`);
  const rules = readCarriedRules(carried.value.rules);
  if (!rules.ok) return fail(`${trouble}: ${rules.error}`);
  const policyId = policyIdOf(bytes.value);
  const again = compileRules(rules.value, endpoint);
  const isSame = again.ok && again.value.policy.policyId === policyId;
  const loads = loadPolicy(bytes.value);
  // What is in a file of another engine cannot be told from one that was changed.
  const engine = isSame ? policyIdOf(readEngineTemplate()).slice(0, 16) : undefined;
  const { id, mode, defaultAccess, privileges, roles, identities, warnings } = rules.value;
  if (options.value.has("--rules")) printJson(renderRuleItem(rules.value));
  else if (options.value.has("--json")) {
    const counts = { privileges: privileges.length, roles: roles.length, identities: identities.length, warnings: warnings.length };
    printJson({
      file: path,
      bytes: bytes.value.length,
      policyId,
      endpoint,
      ruleSetId: id,
      mode,
      defaultAccess,
      counts,
      engine,
      sameEngine: isSame,
      loads: loads.ok,
    });
  } else
    printLines([
      ...wrap("policy id     ", policyId),
      ...wrap("endpoint      ", ENDPOINT_FACTS[endpoint].title),
      ...wrap("rule set id   ", quote(id)),
      ...wrap("mode          ", mode),
      ...wrap("default       ", defaultAccess),
      ...wrap(
        "holds         ",
        `${count(privileges.length, "privilege")}, ${count(roles.length, "role")}, ${count(identities.length, "identity", "identities")}`,
      ),
      ...(warnings.length === 0
        ? []
        : wrap("warnings      ", `${warnings.length} when it was compiled: names that nothing defines, or duplicates`)),
      ...wrap("size          ", count(bytes.value.length, "byte")),
      ...wrap("loads         ", loads.ok ? "yes" : `no: ${JSON.stringify(loads.error)}`),
      ...wrap(
        "this engine   ",
        isSame
          ? `${engine ?? ""} makes the very same file of these rules`
          : "makes another file of these rules: another version made this one, or it was changed",
      ),
    ]);
  return isSame && loads.ok ? TOOL_EXIT.yes : TOOL_EXIT.no;
}
