// `azure-proxy-agent module test`: runs cases against the metered module, exactly as the daemon would ask it.

import { EXIT } from "../../exit-code.ts";
import type { Given } from "../command-line/spec.ts";
import { refuseUsage } from "../command-line/usage-error.ts";
import { printJson, printLines, tell } from "../output.ts";
import { readCaseFile, runModuleCases } from "./cases.ts";
import { defaultCasesPath, readUsableModule } from "./input.ts";
import { countFailed, moduleTestJson, renderModuleTap, renderModuleTest } from "./render-module-tests.ts";
import { TEST } from "./table.ts";

export async function moduleTest({ options, operands: [operand = "", beside] }: Given<typeof TEST.options>): Promise<number> {
  if (beside !== undefined && options.cases !== undefined) return refuseUsage(TEST.name, "CASES and --cases exclude each other");
  const path = beside ?? options.cases ?? defaultCasesPath(operand);
  if (path === undefined) return refuseUsage(TEST.name, "--cases is needed for an installed module");
  const file = readCaseFile(path);
  if (!file.ok) return tell(file.error);
  const module = await readUsableModule(TEST.name, operand, options);
  if (!module.ok) return tell(module.error);
  const run = runModuleCases({ ...module.value, headers: module.value.entry?.headers }, file.value, path);
  if (!run.ok) return tell(run.error);
  if (options.json) printJson({ module: operand, sha256: module.value.componentSha256, ...moduleTestJson(run.value) });
  else printLines(options.tap ? renderModuleTap(run.value) : renderModuleTest(run.value));
  return countFailed(run.value) === 0 ? EXIT.ok : EXIT.no;
}
