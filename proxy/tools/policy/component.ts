// `azure-proxy-agent policy compile` and `inspect`: from rules to the component file that the agent runs, and back.

import { loadPolicy, policyIdOf, readCompiledRules } from "../../adapters/policy/component.ts";
import { readEngineTemplate } from "../../adapters/policy/engine-artifact.ts";
import { writeAtomically } from "../../adapters/storage/atomic-write.ts";
import { ENDPOINT_FACTS, ENDPOINTS } from "../../core/request/endpoint.ts";
import { count, quote, wrap } from "../../core/text/text-layout.ts";
import { EXIT } from "../../exit-code.ts";
import { readBoundedFile } from "../bounded-file.ts";
import type { Given } from "../command-line/spec.ts";
import { fail, printJson, printLines, printNotes } from "../output.ts";
import { compileRules, loadRules, name } from "./input.ts";
import { readCarriedRules, renderRuleItem } from "./rule-item.ts";
import type { COMPILE, INSPECT } from "./table.ts";

const MAX_COMPONENT_BYTES = 64 * 1024 * 1024;

export function policyCompile({ options, operands: [path = ""] }: Given<typeof COMPILE.options>): number {
  const { output, json, ...choices } = options;
  const loaded = loadRules(path, choices);
  if (!loaded.ok) return fail("noInput", loaded.error);
  const { component, policy, endpoint, rules, notes } = loaded.value;
  const made = { policyId: policy.policyId, bytes: component.length, endpoint, ruleSetId: rules.id, notes };
  if (output === "-") {
    process.stdout.write(component);
    process.stderr.write(json ? `${JSON.stringify(made)}\n` : `policy id ${policy.policyId}\n`);
    return EXIT.ok;
  }
  const written = writeAtomically(output, component, 0o644, false);
  if (!written.ok) return fail("cannotCreate", written.error.message);
  if (json) printJson({ file: output, ...made });
  else {
    printNotes(notes);
    printLines([
      ...wrap("", `${name(output)}: ${count(component.length, "byte")}, for ${ENDPOINT_FACTS[endpoint].title}`),
      `policy id ${policy.policyId}`,
    ]);
  }
  return EXIT.ok;
}

export function policyInspect({ options, operands: [path = ""] }: Given<typeof INSPECT.options>): number {
  const trouble = `cannot inspect ${name(path)}`;
  const bytes = readBoundedFile(path, MAX_COMPONENT_BYTES);
  if (!bytes.ok) return fail("noInput", `${trouble}: ${bytes.error}`);
  const carried = readCompiledRules(bytes.value);
  if (!carried.ok)
    return fail(
      "noInput",
      `${trouble}: ${carried.error.kind === "no-rules-section" ? "it carries no rules" : `it is no policy (${carried.error.kind})`}`,
    );
  const endpoint = ENDPOINTS.find((known) => known === carried.value.endpoint);
  if (endpoint === undefined) return fail("noInput", `${trouble}: it names no endpoint`);
  const rules = readCarriedRules(carried.value.rules);
  if (!rules.ok) return fail("noInput", `${trouble}: ${rules.error}`);
  const policyId = policyIdOf(bytes.value);
  const again = compileRules(rules.value, endpoint);
  const isSame = again.ok && again.value.policy.policyId === policyId;
  const loads = loadPolicy(bytes.value);
  // What is in a file of another engine cannot be told from one that was changed.
  const engine = isSame ? policyIdOf(readEngineTemplate()).slice(0, 16) : undefined;
  const { id, mode, defaultAccess, privileges, roles, identities, warnings } = rules.value;
  if (options.rules) printJson(renderRuleItem(rules.value));
  else if (options.json) {
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
  return isSame && loads.ok ? EXIT.ok : EXIT.no;
}
