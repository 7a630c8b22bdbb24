// `azure-proxy-agent policy …`: each command loads only its own code; none needs root or the network.

import { type Commands, command } from "../command-line/command.ts";
import { CHECK, COMPILE, DIFF, EXPLAIN, INSPECT, REPLAY, SIMULATE, SUGGEST, TEST } from "./table.ts";

export const POLICY_COMMANDS: Commands = {
  check: command(CHECK, async () => (await import("./check.ts")).policyCheck),
  explain: command(EXPLAIN, async () => (await import("./decide.ts")).policyExplain),
  simulate: command(SIMULATE, async () => (await import("./decide.ts")).policySimulate),
  test: command(TEST, async () => (await import("./test.ts")).policyTest),
  diff: command(DIFF, async () => (await import("./diff.ts")).policyDiff),
  compile: command(COMPILE, async () => (await import("./component.ts")).policyCompile),
  inspect: command(INSPECT, async () => (await import("./component.ts")).policyInspect),
  replay: command(REPLAY, async () => (await import("./replay.ts")).policyReplay),
  suggest: command(SUGGEST, async () => (await import("./suggest.ts")).suggestPolicy),
};
