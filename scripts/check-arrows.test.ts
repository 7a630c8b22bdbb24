import { describe, expect, test } from "bun:test";
import { findBadArrows, findCircles } from "./check-arrows.ts";

/** A project in which all is well. */
const GOOD: Readonly<Record<string, string>> = {
  "proxy/main.ts": 'import { EXIT } from "./exit-code.ts"; await import("./daemon/run.ts"); await import("./tools/policy/check.ts");',
  "proxy/exit-code.ts": "export const EXIT = {};",
  "proxy/core/result.ts": "",
  "proxy/core/request/verdict.ts": 'import { createHash } from "node:crypto";\nimport { ok } from "../result.ts";',
  "proxy/core/rules/rules.ts": 'import type { Verdict } from "../request/verdict.ts";',
  "proxy/adapters/native/koffi.ts": 'import koffi from "koffi";',
  "proxy/adapters/proc/nss.ts": 'import { readFileSync } from "node:fs";\nimport { koffi } from "../native/koffi.ts";',
  "proxy/daemon/run.ts": 'import { EXIT } from "../exit-code.ts"; import { x } from "./request/handle-request.ts";',
  "proxy/daemon/request/handle-request.ts": 'import { nss } from "../../adapters/proc/nss.ts";',
  "proxy/tools/policy/check.ts": 'import { rules } from "../../core/rules/rules.ts"; import { EXIT } from "../../exit-code.ts";',
  "host-simulator/main.ts": 'import { reply } from "./reply.ts"; import { createServer } from "node:net";',
};

/** Findings for that project with some files replaced or added. */
function findingsWith(changes: Readonly<Record<string, string>>): readonly string[] {
  return findBadArrows(Object.entries({ ...GOOD, ...changes }).map(([path, text]) => ({ path, text })));
}

describe("findBadArrows", () => {
  test("finds nothing where all is well", () => {
    expect(findingsWith({})).toEqual([]);
  });

  test.each([
    ["the daemon importing a tool", "proxy/daemon/x.ts", "../tools/policy/check.ts", "daemon may not import tools"],
    ["a tool importing the daemon", "proxy/tools/policy/x.ts", "../../daemon/run.ts", "tools may not import daemon"],
    ["core importing an adapter", "proxy/core/request/x.ts", "../../adapters/proc/nss.ts", "core may not import adapters"],
    ["an adapter importing the daemon", "proxy/adapters/proc/x.ts", "../../daemon/run.ts", "adapters may not import daemon"],
    ["an adapter importing a sibling", "proxy/adapters/http/x.ts", "../proc/nss.ts", "imports a sibling adapter"],
    ["an adapter importing an exit code", "proxy/adapters/http/x.ts", "../../exit-code.ts", "adapters may not import exit-code.ts"],
    ["the program's entry imported", "proxy/tools/policy/x.ts", "../../main.ts", "tools may not import main.ts"],
    ["an exit code that imports", "proxy/exit-code.ts", "./core/result.ts", "a file of the whole program imports nothing"],
    ["a file of the tests", "proxy/daemon/x.ts", "../../test/support/world.ts", "leaves proxy/"],
    ["core reading files", "proxy/core/request/x.ts", "node:fs", "core reaches the system"],
    ["a package nobody listed", "proxy/daemon/x.ts", "express", "a package that is not listed in scripts/check-arrows.ts"],
    ["a package in another's place", "proxy/daemon/x.ts", "koffi", "only proxy/adapters/native/ may import this package"],
    [
      "the simulator importing our code",
      "host-simulator/x.ts",
      "../proxy/core/result.ts",
      "the host simulator imports code that is not its own",
    ],
    ["the simulator importing a package", "host-simulator/x.ts", "hono", "the host simulator imports a package"],
  ])("refuses %s", (_name, path, imported, why) => {
    expect(findingsWith({ [path]: `import { x } from "${imported}";` })).toContain(`${path} imports "${imported}": ${why}`);
  });

  test.each([
    ["a static import", 'import { x } from "../tools/policy/check.ts";'],
    ["an import of types", 'import type { X } from "../tools/policy/check.ts";'],
    ["an import when it is needed", 'await import("../tools/policy/check.ts");'],
    ["an import over several lines", 'import {\n  a,\n  type B,\n} from "../tools/policy/check.ts";'],
    ["an export of another's", 'export { x } from "../tools/policy/check.ts";'],
  ])("sees %s", (_name, text) => {
    expect(findingsWith({ "proxy/daemon/x.ts": text })).toHaveLength(1);
  });

  test("refuses a circle of files in one room, of types, too", () => {
    const files = {
      "proxy/core/request/a.ts": 'import type { B } from "./b.ts";',
      "proxy/core/request/b.ts": 'import { a } from "./a.ts";',
    };
    expect(findingsWith(files)).toEqual(["circle of files: proxy/core/request/a.ts -> proxy/core/request/b.ts -> proxy/core/request/a.ts"]);
  });

  test("refuses a circle of rooms without a circle of files", () => {
    const files = { "proxy/core/request/a.ts": 'import { p } from "../rules/plan.ts";', "proxy/core/rules/plan.ts": "" };
    expect(findingsWith(files)).toEqual(["circle of rooms: proxy/core/request -> proxy/core/rules -> proxy/core/request"]);
  });

  test("refuses a circle through a file that is a room of its own", () => {
    const files = {
      "proxy/core/ports.ts": 'import { v } from "./request/verdict.ts";',
      "proxy/core/request/a.ts": 'import { p } from "../ports.ts";',
    };
    expect(findingsWith(files)).toEqual(["circle of rooms: proxy/core/ports.ts -> proxy/core/request -> proxy/core/ports.ts"]);
  });

  test("leaves tests beside the code alone", () => {
    expect(findingsWith({ "proxy/daemon/x.test.ts": 'import { x } from "../tools/policy/check.ts";' })).toEqual([]);
  });
});

describe("findCircles", () => {
  test("finds one for each set of nodes that reach each other, by its shortest way", () => {
    const arrows = [
      ["a", "b"],
      ["b", "c"],
      ["c", "a"],
      ["b", "a"],
      ["x", "y"],
      ["y", "x"],
      ["c", "x"],
      ["z", "z"],
    ] as const;
    expect(findCircles(arrows)).toEqual([
      ["a", "b", "a"],
      ["x", "y", "x"],
      ["z", "z"],
    ]);
  });

  test("finds none in a diamond", () => {
    expect(
      findCircles([
        ["a", "b"],
        ["a", "c"],
        ["b", "d"],
        ["c", "d"],
      ]),
    ).toEqual([]);
  });
});
