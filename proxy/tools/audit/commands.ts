// `azure-proxy-agent audit …`: commands that read the decision trail. They change nothing and work while the agent writes.

import { type Commands, command } from "../command-line/command.ts";
import { EXPORT, TAIL, VERIFY } from "./table.ts";

export const AUDIT_COMMANDS: Commands = {
  verify: command(VERIFY, async () => (await import("./audit-verify.ts")).auditVerify),
  tail: command(TAIL, async () => (await import("./audit-tail.ts")).auditTail),
  export: command(EXPORT, async () => (await import("./audit-export.ts")).auditExport),
};
