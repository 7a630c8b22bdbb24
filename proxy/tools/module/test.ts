// `azure-proxy-agent module test`: runs cases against the metered module, exactly as the daemon would ask it.

import { parseOptions } from "../options.ts";
import { printJson, printLines, refuseUsage, TOOL_EXIT, tell } from "../output.ts";
import { readCaseFile, runModuleCases } from "./cases.ts";
import { defaultCasesPath, readUsableModule, USABLE_VALUES } from "./input.ts";
import { countFailed, moduleTestJson, renderModuleTap, renderModuleTest } from "./render-module-tests.ts";

export const TEST_USAGE = `azure-proxy-agent module test FILE|NAME [CASES] [--settings FILE] [OPTION]...

Checks and meters the component in FILE as "module add" does, or takes the installed module NAME,
and puts the cases to it under its budgets. Each case's fuel is shown, and which answers were seen.

  { "settings": "settings.json",      optional: a file beside this one, {"text": …} or {"json": …}
    "settingsCases": [                optional: what the module must say to settings
      { "name": "no list", "settings": { "json": {} }, "error": "list" } ],
    "cases": [
      { "name": "alice may read", "request": "GET /metadata/instance",
        "caller": "userName=alice", "expect": "allow" } ] }

A case may have "endpoint" (imds), "headers" ({"metadata": "true"}), "uptimeSeconds", "unixSeconds",
"soFar" ({"kind": "allow", "reason": "granted"}; null for none) and "settings" of its own. "expect"
is allow, deny, abstain or failed; "reason", "rule", "labels" and "fuelAtMost" are compared when
given.

  --cases CASES     the same; default: cases.json beside FILE
  --settings FILE   where the cases do not say
  --fuel N, --memory N, --reason N   budgets, as in "module add"
  --config FILE     the agent's config
  --tap, --json     as TAP version 14; as JSON

Exit codes: 0 all cases hold, 1 some do not, or the component is refused, 2 a file cannot be read or
holds no valid cases, 64 usage, 78 bad config
`;

export async function moduleTest(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv, { values: [...USABLE_VALUES, "--cases"], flags: ["--tap", "--json"], operands: [1, 2] });
  if (!options.ok) return refuseUsage(options.error, TEST_USAGE);
  if (options.value.has("--tap") && options.value.has("--json")) return refuseUsage("--tap and --json exclude each other", TEST_USAGE);
  const [operand = "", beside] = options.value.operands;
  if (beside !== undefined && options.value.value("--cases") !== undefined) return refuseUsage("found two files of cases", TEST_USAGE);
  const path = beside ?? options.value.value("--cases") ?? defaultCasesPath(operand);
  if (path === undefined) return refuseUsage("--cases is needed for an installed module", TEST_USAGE);
  const file = readCaseFile(path);
  if (!file.ok) return tell(file.error);
  const module = await readUsableModule(operand, options.value);
  if (!module.ok) return tell(module.error);
  const run = runModuleCases({ ...module.value, headers: module.value.entry?.headers }, file.value, path);
  if (!run.ok) return tell(run.error);
  if (options.value.has("--json")) printJson({ module: operand, sha256: module.value.componentSha256, ...moduleTestJson(run.value) });
  else printLines(options.value.has("--tap") ? renderModuleTap(run.value) : renderModuleTest(run.value));
  return countFailed(run.value) === 0 ? TOOL_EXIT.yes : TOOL_EXIT.no;
}
