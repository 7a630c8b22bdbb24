// `azure-proxy-agent module componentize`: a policy component of one core module, without any component tools.

import { writeAtomically } from "../../adapters/storage/atomic-write.ts";
import { readBoundedFile } from "../bounded-file.ts";
import { parseOptions } from "../options.ts";
import { fail, refuseUsage, TOOL_EXIT } from "../output.ts";
import { name } from "../policy/input.ts";
import { componentize } from "./componentize.ts";

export const COMPONENTIZE_USAGE = `azure-proxy-agent module componentize CORE.wasm -o OUT.wasm

Wraps a core module, as clang, rustc and asc make it, as a policy component. It must import nothing
and export a memory and, with the types of the canonical ABI, either under the names of the
component model (azure:proxy-agent-policy/authorizer@1.0.0#evaluate ...) or as plain words:
cabi_realloc, validate_settings, configure, evaluate, post_validate_settings, post_configure,
post_evaluate. Other exports and all custom sections are left out. The bindings that "module new"
gives do all this.

Exit codes: 0 made, 2 cannot be made, 64 usage
`;

/** Many times what the agent would take: the module may hold names that are left out. */
const MAX_CORE_BYTES = 64 * 1024 * 1024;

export function moduleComponentize(argv: readonly string[]): number {
  const options = parseOptions(argv, { values: ["-o"], flags: [], operands: [1, 1] });
  if (!options.ok) return refuseUsage(options.error, COMPONENTIZE_USAGE);
  const [path = ""] = options.value.operands;
  const target = options.value.value("-o");
  if (target === undefined) return refuseUsage("-o FILE is needed", COMPONENTIZE_USAGE);
  const core = readBoundedFile(path, MAX_CORE_BYTES);
  if (!core.ok) return fail(`cannot read ${name(path)}: ${core.error}`);
  const component = componentize(core.value);
  if (!component.ok) return fail(`cannot make a component of ${name(path)}: ${component.error}`);
  const written = writeAtomically(target, component.value, 0o644, false);
  return written.ok ? TOOL_EXIT.yes : fail(`cannot write ${name(target)}: ${written.error.message}`);
}
