import { describe, expect, test } from "bun:test";
import { checkDocs, renderFinding, type Tree } from "./check-docs.ts";
import { findConfigKeys, findLogEvents, findReasons, findThreatIds } from "./docs-facts.ts";
import { parseDocument } from "./docs-markdown.ts";

/** A project in which all is well. */
const GOOD: Readonly<Record<string, string>> = {
  "README.md": "# T\n\n[config](docs/operations.md#configuration)\n\n```sh\n./scripts/demo\nbun run check\n```\n",
  "package.json": '{"scripts": {"check": "x"}}',
  "scripts/demo": "#!/bin/sh\n",
  "docs/threat-model.md": "| id | test |\n| --- | --- |\n| T-01 | `test/a.test.ts` |\n",
  "docs/operations.md": [
    "## Configuration",
    "| key | is |",
    "| --- | --- |",
    "| `logFolder`, `old` | x |",
    "## Log events",
    "| event | is |",
    "| --- | --- |",
    "| `started` | x |",
    "## Reasons",
    "| reason | is |",
    "| --- | --- |",
    "| `not-root` | x |",
  ].join("\n"),
  "proxy/core/config.ts": 'const ACCEPTED_WITHOUT_EFFECT = ["old"];\nconst KNOWN = [\n  "logFolder",\n];\n',
  "proxy/daemon/agent.ts": 'log.info("started", {});',
  "proxy/core/request/built-in.ts": 'return { kind: "refused", reason: "not-root" };',
  "test/a.test.ts": 'test("T-01: x")',
};

/** Findings for that project with some files replaced, added, or (undefined) taken away. */
function findingsWith(changes: Readonly<Record<string, string | undefined>>): readonly string[] {
  const all = Object.entries({ ...GOOD, ...changes }).flatMap(([path, text]) => (text === undefined ? [] : [{ path, text }]));
  const tree: Tree = {
    files: all,
    exists: (path) => all.some((file) => file.path === path),
    isExecutable: (path) => path === "scripts/demo",
  };
  return checkDocs(tree).map(renderFinding);
}

describe("checkDocs", () => {
  test("finds nothing where all is well", () => {
    expect(findingsWith({})).toEqual([]);
  });

  test.each([
    ["a link to no file", { "README.md": "[a](docs/x.md)" }, 'README.md:1: the link "docs/x.md" leads to no file'],
    [
      "a link to no heading",
      { "README.md": "\n[a](docs/operations.md#reason)" },
      'README.md:2: the link "docs/operations.md#reason" leads to no heading',
    ],
    ["a link to no heading of its own", { "README.md": "# A\n[a](#b)" }, 'README.md:2: the link "#b" leads to no heading'],
    ["a link that climbs from a folder", { "docs/a.md": "[a](../READ.md)" }, 'docs/a.md:1: the link "../READ.md" leads to no file'],
    [
      "a comment that names no heading",
      { "proxy/core/x.ts": "// docs/operations.md#key" },
      'proxy/core/x.ts:1: names "docs/operations.md#key", which is no heading',
    ],
    [
      "a comment that names no document",
      { "proxy/core/x.ts": "// see docs/no.md" },
      'proxy/core/x.ts:1: names "docs/no.md", which does not exist',
    ],
    [
      "a command that is not there",
      { "README.md": "```sh\n\nsudo ./scripts/demos --x\n```" },
      'README.md:3: the command names "scripts/demos", which does not exist',
    ],
    ["a command that cannot be run", { "README.md": "```sh\n./test/a.test.ts\n```" }, 'README.md:2: "test/a.test.ts" is not executable'],
    ["a script of no name", { "README.md": "```sh\nbun run chek # x\n```" }, 'README.md:2: "bun run chek" is no script of package.json'],
    [
      "an id without a row",
      { "test/a.test.ts": 'test("T-01: x"); test("T-02: y")' },
      "test/a.test.ts:1: T-02 has no row in docs/threat-model.md",
    ],
    [
      "a row whose test lost the id",
      { "test/a.test.ts": 'test("T-011: x")' },
      'docs/threat-model.md:3: "test/a.test.ts" does not mention T-01',
    ],
    [
      "a row without a test",
      { "docs/threat-model.md": "| id | test |\n| --- | --- |\n| T-01 | later |\n" },
      "docs/threat-model.md:3: T-01 names no test file",
    ],
    [
      "two rows of one id",
      { "docs/threat-model.md": `${GOOD["docs/threat-model.md"]}| T-01 | \`test/a.test.ts\` |\n` },
      "docs/threat-model.md:4: T-01 has two rows",
    ],
    [
      "an event nobody listed",
      { "proxy/daemon/agent.ts": 'log.info("started", {});\nports.log.error(\n "broke", {});' },
      'proxy/daemon/agent.ts:2: "broke" is not in docs/operations.md under "Log events"',
    ],
    [
      "a listed event nobody writes",
      { "proxy/daemon/agent.ts": 'log.info("other", {});' },
      'docs/operations.md:8: "started" under "Log events" is not in the code',
    ],
    [
      "a reason nobody listed",
      { "proxy/daemon/x.ts": 'reason: "no-key"' },
      'proxy/daemon/x.ts:1: "no-key" is not in docs/operations.md under "Reasons"',
    ],
    [
      "a config key nobody listed",
      { "proxy/core/config.ts": 'const KNOWN = ["logFolder", "new"];\nconst ACCEPTED_WITHOUT_EFFECT = ["old"];' },
      'proxy/core/config.ts:1: "new" is not in docs/operations.md under "Configuration"',
    ],
    ["a path of a machine", { "scripts/x": "cd /home/me/x" }, "scripts/x:1: holds a path of somebody's machine"],
    ["a package mirror", { "bun.lock": '"https://registry.example/x"' }, "bun.lock:1: holds the address of a package registry"],
  ])("finds %s", (_name, changes, finding) => {
    expect(findingsWith(changes)).toContain(finding);
  });

  test.each(["docs/threat-model.md", "docs/operations.md"])("misses %s", (path) => {
    expect(findingsWith({ [path]: undefined, "README.md": "" })).toContain(`${path}:1: the document does not exist`);
  });

  test("tells a JSON block that does not parse, and leaves other languages alone", () => {
    expect(findingsWith({ "docs/a.md": "```json\n{,}\n```\n```ts\n{,}\n```" })).toEqual([
      expect.stringContaining("docs/a.md:2: a JSON block does not parse"),
    ]);
  });

  test("takes a pattern that finds nothing for broken, not for a clean project", () => {
    expect(findingsWith({ "proxy/daemon/agent.ts": "" })).toContain(
      'docs/operations.md:1: nothing found in the code for "Log events": the check is broken',
    );
  });

  test.each(["/$bunfs/root/", "a/work/b", "https://example.org/x", "/homework", "$R/home/x"])("has nothing against %p", (text) => {
    expect(findingsWith({ "proxy/core/x.ts": text })).toEqual([]);
  });
});

describe("parseDocument", () => {
  test("makes anchors as readers see them", () => {
    const { anchors } = parseDocument("# What *to* do, when?\n## `a-b` c\n## Twice\n## Twice\n```\n# not me\n```\n");
    expect([...anchors]).toEqual(["what-to-do-when", "a-b-c", "twice", "twice-1"]);
  });

  test("finds links outside code only", () => {
    const { links } = parseDocument("[a](x) `[b](y)`\n```\n[c](z)\n```\n![d](w.png)");
    expect(links).toEqual([
      { line: 1, text: "x" },
      { line: 5, text: "w.png" },
    ]);
  });

  test("reads rows with their heading, without the head of the table", () => {
    const { rows } = parseDocument("## H\n| k | v |\n| :-- | --: |\n| a | b\\|c |\n\n| x | y |\n");
    expect(rows).toEqual([{ line: 4, text: "a", heading: "H", cells: ["a", "b\\|c"] }]);
  });
});

describe("facts in the code", () => {
  const source = (text: string) => [{ path: "f.ts", text }];
  const words = (facts: readonly { readonly word: string }[]) => facts.map(({ word }) => word);

  test("threat ids, each once", () => {
    expect(words(findThreatIds(source('test("T-07: a"); "T-07: b"; "XT-08"; "T-9"')))).toEqual(["T-07"]);
  });

  test("events of the log, of requests, and of the log about itself", () => {
    const text = 'readonly event: "request-a" | "request-b";\n log.debug("seen", x); makeLine("warn", "log-lines-lost", x)';
    expect(words(findLogEvents(source(text)))).toEqual(["seen", "request-a", "request-b", "log-lines-lost"]);
  });

  test("reasons in every form the code has", () => {
    const text = [
      'reason: "no-key"; end("request-failed", 0, "client-gone"); ports.refused(peer, "too-many")',
      'A.answer(A.DENY, "not-granted", 0, 0)',
      `reason: \`host-\${outcome.cause}\``,
      'kind: "host-failed"; readonly cause: "silent" | "closed"; readonly detail: string',
    ].join("\n");
    expect(words(findReasons(source(text))).sort()).toEqual([
      "client-gone",
      "host-closed",
      "host-silent",
      "no-key",
      "not-granted",
      "too-many",
    ]);
  });

  test("config keys, with the line each stands in", () => {
    expect(findConfigKeys({ path: "c.ts", text: 'const KNOWN = [\n  "a",\n  "b",\n];' })).toEqual([
      { word: "a", path: "c.ts", line: 2 },
      { word: "b", path: "c.ts", line: 3 },
    ]);
  });
});
