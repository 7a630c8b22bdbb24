// `azure-proxy-agent policy …`: picks the tool. Each loads only its own code; none needs root or the network.

import { listTools, runTool, type Tools } from "../command-line.ts";

const TOOLS: Tools = {
  check: {
    does: "validate a rule file and warn of what hardly does what it seems to",
    load: async () => {
      const { policyCheck, CHECK_USAGE } = await import("./check.ts");
      return { run: policyCheck, usage: CHECK_USAGE };
    },
  },
  explain: {
    does: "tell step by step how one request is decided",
    load: async () => {
      const { policyExplain, EXPLAIN_USAGE } = await import("./decide.ts");
      return { run: policyExplain, usage: EXPLAIN_USAGE };
    },
  },
  simulate: {
    does: "say in one line how one request is decided",
    load: async () => {
      const { policySimulate, SIMULATE_USAGE } = await import("./decide.ts");
      return { run: policySimulate, usage: SIMULATE_USAGE };
    },
  },
  test: {
    does: "run cases: requests, callers and what must come of them",
    load: async () => {
      const { policyTest, TEST_USAGE } = await import("./test.ts");
      return { run: policyTest, usage: TEST_USAGE };
    },
  },
  diff: {
    does: "find every request that two rule sets decide differently",
    load: async () => {
      const { policyDiff, DIFF_USAGE } = await import("./diff.ts");
      return { run: policyDiff, usage: DIFF_USAGE };
    },
  },
  compile: {
    does: "compile rules to the component that the agent runs",
    load: async () => {
      const { policyCompile, COMPILE_USAGE } = await import("./component.ts");
      return { run: policyCompile, usage: COMPILE_USAGE };
    },
  },
  inspect: {
    does: "say what a compiled policy holds",
    load: async () => {
      const { policyInspect, INSPECT_USAGE } = await import("./component.ts");
      return { run: policyInspect, usage: INSPECT_USAGE };
    },
  },
  replay: {
    does: "decide recorded requests again and compare",
    load: async () => {
      const { policyReplay, REPLAY_USAGE } = await import("./replay.ts");
      return { run: policyReplay, usage: REPLAY_USAGE };
    },
  },
  suggest: {
    does: "propose rules from the agent's log",
    load: async () => {
      const { suggestPolicy, SUGGEST_USAGE } = await import("./suggest.ts");
      return { run: suggestPolicy, usage: SUGGEST_USAGE };
    },
  },
};

const USAGE = `azure-proxy-agent policy TOOL [OPTION]... (TOOL --help says more)

${listTools(TOOLS)}

None of them needs root, the daemon or the network.
`;

/** Runs the chosen tool and gives its exit code. */
export function policy(argv: readonly string[]): Promise<number> {
  return runTool("policy", TOOLS, USAGE, argv);
}
