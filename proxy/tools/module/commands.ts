// `azure-proxy-agent module TOOL`: adds, lists, changes and tries policy modules. Each tool loads only what it needs.

import { listTools, runTool, type Tool, type Tools } from "../command-line.ts";

const TOOLS: Tools = {
  new: {
    does: "make a folder with the beginnings of a module",
    load: async () => {
      const { moduleNew, NEW_USAGE } = await import("./new.ts");
      return { run: moduleNew, usage: NEW_USAGE };
    },
  },
  componentize: {
    does: "wrap a core module as a component",
    load: async () => {
      const { moduleComponentize, COMPONENTIZE_USAGE } = await import("./componentize-command.ts");
      return { run: moduleComponentize, usage: COMPONENTIZE_USAGE };
    },
  },
  add: {
    does: "check, meter, try and install a component, or replace one",
    load: async () => {
      const { moduleAdd, ADD_USAGE } = await import("./add.ts");
      return { run: moduleAdd, usage: ADD_USAGE };
    },
  },
  list: {
    does: "list the installed modules in their order",
    load: async () => {
      const { moduleList, LIST_USAGE } = await import("./list.ts");
      return { run: moduleList, usage: LIST_USAGE };
    },
  },
  inspect: {
    does: "say all about an installed module or a component file",
    load: async () => {
      const { moduleInspect, INSPECT_USAGE } = await import("./inspect.ts");
      return { run: moduleInspect, usage: INSPECT_USAGE };
    },
  },
  ...Object.fromEntries(
    (
      [
        ["remove", "take modules out"],
        ["enable", "ask modules again"],
        ["disable", "keep modules, but do not ask them"],
        ["pin", "refuse every other component under a module's name"],
        ["audit", "record a module's denies without applying them, or apply them"],
        ["order", "change when a module is asked"],
        ["settings", "give a module other settings"],
      ] as const
    ).map(([word, does]): [string, Tool] => [
      word,
      {
        does,
        load: async () => {
          const { MODULE_CHANGES } = await import("./change.ts");
          return MODULE_CHANGES[word];
        },
      },
    ]),
  ),
  test: {
    does: "run cases: requests, callers and what the module must answer",
    load: async () => {
      const { moduleTest, TEST_USAGE } = await import("./test.ts");
      return { run: moduleTest, usage: TEST_USAGE };
    },
  },
  run: {
    does: "ask a module about one request",
    load: async () => {
      const { moduleRun, RUN_USAGE } = await import("./run.ts");
      return { run: moduleRun, usage: RUN_USAGE };
    },
  },
  bench: {
    does: "measure what a module's calls cost",
    load: async () => {
      const { moduleBench, BENCH_USAGE } = await import("./bench.ts");
      return { run: moduleBench, usage: BENCH_USAGE };
    },
  },
};

const USAGE = `azure-proxy-agent module TOOL [OPTION]... (TOOL --help says more)

${listTools(TOOLS)}

Tools that read or change what is installed need root. The others, and test, run, bench and inspect
of a component file, need neither root nor the daemon.
`;

/** Runs the chosen tool and gives its exit code. */
export function module(argv: readonly string[]): Promise<number> {
  return runTool("module", TOOLS, USAGE, argv);
}
