// `azure-proxy-agent module componentize`: a policy component of one core module, without any component tools.

import { writeAtomically } from "../../adapters/storage/atomic-write.ts";
import { EXIT } from "../../exit-code.ts";
import { readBoundedFile } from "../bounded-file.ts";
import type { Given } from "../command-line/spec.ts";
import { fail } from "../output.ts";
import { name } from "../policy/input.ts";
import { componentize } from "./componentize.ts";
import type { COMPONENTIZE } from "./table.ts";

/** Many times what the agent would take: the module may hold names that are left out. */
const MAX_CORE_BYTES = 64 * 1024 * 1024;

export function moduleComponentize({ options: { output }, operands: [path = ""] }: Given<typeof COMPONENTIZE.options>): number {
  const core = readBoundedFile(path, MAX_CORE_BYTES);
  if (!core.ok) return fail("noInput", `cannot read ${name(path)}: ${core.error}`);
  const component = componentize(core.value);
  if (!component.ok) return fail("no", `cannot make a component of ${name(path)}: ${component.error}`);
  const written = writeAtomically(output, component.value, 0o644, false);
  return written.ok ? EXIT.ok : fail("cannotCreate", `cannot write ${name(output)}: ${written.error.message}`);
}
