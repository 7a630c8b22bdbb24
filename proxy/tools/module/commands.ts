// `azure-proxy-agent module …`: adds, lists, changes and tries policy modules. Each command loads only what it needs. Those that compile
// a module of a stranger begin with an engine whose memory is bounded.

import { type Commands, command } from "../command-line/command.ts";
import { ADD, AUDIT, BENCH, COMPONENTIZE, DISABLE, ENABLE, INSPECT, LIST, NEW, ORDER, PIN, REMOVE, RUN, SETTINGS, TEST } from "./table.ts";

async function changes() {
  return (await import("./change.ts")).MODULE_CHANGES;
}

/** @param ensureEngine - returns once the engine has its options, which may start the program again; ends it when that fails */
export function moduleCommands(ensureEngine: () => Promise<void>): Commands {
  async function withEngine<Code>(load: () => Promise<Code>): Promise<Code> {
    await ensureEngine();
    return load();
  }
  return {
    new: command(NEW, async () => (await import("./new.ts")).moduleNew),
    componentize: command(COMPONENTIZE, async () => (await import("./componentize-command.ts")).moduleComponentize),
    add: command(ADD, () => withEngine(async () => (await import("./add.ts")).moduleAdd)),
    list: command(LIST, async () => (await import("./list.ts")).moduleList),
    inspect: command(INSPECT, async () => (await import("./inspect.ts")).moduleInspect),
    remove: command(REMOVE, async () => (await changes()).remove),
    enable: command(ENABLE, async () => (await changes()).enable),
    disable: command(DISABLE, async () => (await changes()).disable),
    pin: command(PIN, async () => (await changes()).pin),
    audit: command(AUDIT, async () => (await changes()).audit),
    order: command(ORDER, async () => (await changes()).order),
    settings: command(SETTINGS, () => withEngine(async () => (await changes()).settings)),
    test: command(TEST, () => withEngine(async () => (await import("./test.ts")).moduleTest)),
    run: command(RUN, () => withEngine(async () => (await import("./run.ts")).moduleRun)),
    bench: command(BENCH, () => withEngine(async () => (await import("./bench.ts")).moduleBench)),
  };
}
