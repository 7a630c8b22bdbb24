// Compares the documents with the tree and the code: links, commands, JSON, threat ids, log events, reasons, config keys, and
// names of machines or folders that must not be in the repository. Prints each finding as "file:line: words".

import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { type Fact, findConfigKeys, findLogEvents, findReasons, findThreatIds, type Source } from "./docs-facts.ts";
import { codeSpans, type Document, parseDocument } from "./docs-markdown.ts";

export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly words: string;
}

/** What the checks need of the tree, so that tests can give them another. */
export interface Tree {
  /** Text files under version control, or about to be. */
  readonly files: readonly Source[];
  exists(path: string): boolean;
  isExecutable(path: string): boolean;
}

const THREATS = "docs/threat-model.md";
const OPERATIONS = "docs/operations.md";
const CONFIG = "proxy/core/config.ts";
/** Where reason words are made. */
const REASON_FILES =
  /^(?:proxy\/daemon\/(?:[^/]+\/)?[^/]+|proxy\/core\/(?:(?:request|channel|rules|status|tally|text)\/)?[^/]+|proxy\/core\/modules\/policy-chain|proxy\/adapters\/policy\/component|policy-wasm\/engine\/decide)\.ts$/;
/** Headings in operations.md whose tables list what the code has. */
const LISTS = { events: "Log events", reasons: "Reasons", config: "Configuration" } as const;

export function checkDocs(tree: Tree): readonly Finding[] {
  const documents = new Map(
    tree.files.filter(({ path }) => path.endsWith(".md")).map((file) => [file.path, parseDocument(file.text)] as const),
  );
  const code = tree.files.filter(({ path }) => path.startsWith("proxy/") && path.endsWith(".ts") && !path.endsWith(".test.ts"));
  const reasonCode = tree.files.filter(({ path }) => REASON_FILES.test(path) && !path.endsWith(".test.ts"));
  const causes = tree.files.filter(({ path }) => path === "proxy/core/ports.ts");
  const config = tree.files.find(({ path }) => path === CONFIG);
  return [
    ...[...documents].flatMap(([path, document]) => [
      ...checkLinks(tree, documents, path, document),
      ...checkJson(path, document),
      ...(path === "README.md" ? checkCommands(tree, path, document) : []),
    ]),
    ...checkThreats(tree, documents.get(THREATS)),
    ...checkList(documents.get(OPERATIONS), LISTS.events, findLogEvents(code)),
    ...checkList(documents.get(OPERATIONS), LISTS.reasons, findReasons([...reasonCode, ...causes])),
    ...checkList(documents.get(OPERATIONS), LISTS.config, config === undefined ? [] : findConfigKeys(config)),
    ...checkCodeAnchors(tree, documents),
    ...checkForeignNames(tree),
  ];
}

/** Relative links lead to a file of the tree and, with `#`, to a heading in it. */
function checkLinks(tree: Tree, documents: ReadonlyMap<string, Document>, path: string, document: Document): readonly Finding[] {
  return document.links.flatMap(({ line, text }) => {
    if (/^[a-z]+:/.test(text)) return [];
    const [file = "", anchor] = text.split("#");
    const target = file === "" ? path : normalize(join(dirname(path), file));
    if (!tree.exists(target)) return [{ path, line, words: `the link "${text}" leads to no file` }];
    const known = documents.get(target)?.anchors;
    return anchor === undefined || known === undefined || known.has(anchor)
      ? []
      : [{ path, line, words: `the link "${text}" leads to no heading` }];
  });
}

/** Places in documents that comments in the code name. */
function checkCodeAnchors(tree: Tree, documents: ReadonlyMap<string, Document>): readonly Finding[] {
  const code = tree.files.filter(({ path }) => /\.(?:ts|c|h|wit)$/.test(path) && !path.startsWith("scripts/"));
  return code.flatMap(({ path, text }) =>
    linesOf(text).flatMap(({ line, text: lineText }) =>
      [...lineText.matchAll(/\bdocs\/[a-z0-9.-]+\.md(?:#([a-z0-9-]+))?/g)].flatMap((match) => {
        const [named = "", anchor] = match[0].split("#");
        if (!tree.exists(named)) return [{ path, line, words: `names "${named}", which does not exist` }];
        const known = documents.get(named)?.anchors;
        return anchor === undefined || known?.has(anchor) !== false
          ? []
          : [{ path, line, words: `names "${match[0]}", which is no heading` }];
      }),
    ),
  );
}

function checkJson(path: string, document: Document): readonly Finding[] {
  return document.fences.flatMap(({ line, language, text }) => {
    if (language !== "json") return [];
    try {
      JSON.parse(text);
      return [];
    } catch (error) {
      return [{ path, line, words: `a JSON block does not parse: ${error instanceof Error ? error.message : String(error)}` }];
    }
  });
}

/** Commands of `sh` blocks: files of the project exist and can be run, `bun run` names a script of package.json. */
function checkCommands(tree: Tree, path: string, document: Document): readonly Finding[] {
  const manifest: unknown = JSON.parse(tree.files.find((file) => file.path === "package.json")?.text ?? "{}");
  const scripts = isObject(manifest) && isObject(manifest.scripts) ? manifest.scripts : {};
  return document.fences
    .filter(({ language }) => language === "sh")
    .flatMap((fence) => linesOf(fence.text).map(({ line, text }) => ({ line: fence.line + line - 1, text })))
    .flatMap(({ line, text }) => {
      const words = text.replace(/(?:^|\s)#.*/, "").split(/[\s;&|]+/);
      return words.flatMap((word, index) => {
        if (words[index - 2] === "bun" && words[index - 1] === "run") {
          return Object.hasOwn(scripts, word) ? [] : [{ path, line, words: `"bun run ${word}" is no script of package.json` }];
        }
        const file = /^(?:\.\/)?((?:scripts|test|dist|debian|proxy|host-simulator|ebpf)\/[\w./-]+)$/.exec(word)?.[1];
        if (file === undefined || file.startsWith("dist/")) return [];
        if (!tree.exists(file)) return [{ path, line, words: `the command names "${file}", which does not exist` }];
        return index > 0 || tree.isExecutable(file) ? [] : [{ path, line, words: `"${file}" is not executable` }];
      });
    });
}

/** Every id in a test has a row, and every row names a test file that has the id. */
function checkThreats(tree: Tree, document: Document | undefined): readonly Finding[] {
  if (document === undefined) return [{ path: THREATS, line: 1, words: "the document does not exist" }];
  const tests = tree.files.filter(({ path }) => path.endsWith(".test.ts") && !path.startsWith("scripts/"));
  const rows = document.rows.filter(({ text }) => /^T-[0-9]+$/.test(text));
  const listed = new Set(rows.map(({ text }) => text));
  const missing = findThreatIds(tests)
    .filter(({ word }) => !listed.has(word))
    .map(({ word, path, line }) => ({ path, line, words: `${word} has no row in ${THREATS}` }));
  const wrong = rows.flatMap(({ line, text: id, cells }) => {
    const named = codeSpans(cells.at(-1) ?? "").filter((span) => span.endsWith(".test.ts"));
    if (named.length === 0) return [{ path: THREATS, line, words: `${id} names no test file` }];
    return named.flatMap((file) => {
      const test = tests.find(({ path }) => path === file);
      if (test === undefined) return [{ path: THREATS, line, words: `${id} names "${file}", which is no test file` }];
      return new RegExp(`\\b${id}\\b`).test(test.text) ? [] : [{ path: THREATS, line, words: `"${file}" does not mention ${id}` }];
    });
  });
  const repeated = rows
    .filter(({ text }, index) => rows.findIndex((row) => row.text === text) !== index)
    .map(({ line, text }) => ({ path: THREATS, line, words: `${text} has two rows` }));
  return [...missing, ...wrong, ...repeated];
}

/** The tables under a heading of operations.md list exactly the words found in the code. */
function checkList(document: Document | undefined, heading: string, facts: readonly Fact[]): readonly Finding[] {
  if (document === undefined) return [{ path: OPERATIONS, line: 1, words: "the document does not exist" }];
  if (facts.length === 0) return [{ path: OPERATIONS, line: 1, words: `nothing found in the code for "${heading}": the check is broken` }];
  const rows = document.rows.filter((row) => row.heading === heading);
  const listed = new Set(rows.flatMap(({ text }) => codeSpans(text)));
  const known = new Set(facts.map(({ word }) => word));
  return [
    ...facts
      .filter(({ word }) => !listed.has(word))
      .map(({ word, path, line }) => ({ path, line, words: `"${word}" is not in ${OPERATIONS} under "${heading}"` })),
    ...rows.flatMap(({ line, text }) =>
      codeSpans(text)
        .filter((word) => !known.has(word))
        .map((word) => ({ path: OPERATIONS, line, words: `"${word}" under "${heading}" is not in the code` })),
    ),
  ];
}

/** Folders of one machine, and package mirrors: neither works elsewhere. */
const FOREIGN = [
  { pattern: /(?<![\w$./-])\/(?:work|root|home)\/[\w.-]/, words: "a path of somebody's machine" },
  { pattern: /https?:\/\/[^\s"')]*(?:registry|artifactory|nexus|pypi|mirror)[^\s"')]*/i, words: "the address of a package registry" },
] as const;
/** Test data holds such paths on purpose, and so does the test of this check. */
const MAY_HOLD_PATHS = /^(?:test\/vectors\/|scripts\/check-docs\.test\.ts$)/;

function checkForeignNames(tree: Tree): readonly Finding[] {
  return tree.files.flatMap(({ path, text }) =>
    MAY_HOLD_PATHS.test(path)
      ? []
      : linesOf(text).flatMap(({ line, text: lineText }) =>
          FOREIGN.filter(({ pattern }) => pattern.test(lineText)).map(({ words }) => ({ path, line, words: `holds ${words}` })),
        ),
  );
}

function linesOf(text: string): readonly { readonly line: number; readonly text: string }[] {
  return text.split("\n").map((lineText, index) => ({ line: index + 1, text: lineText }));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** The tree on disk: what git tracks, and what it would track. */
function readTree(root: string): Tree {
  const listed = Bun.spawnSync(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], { cwd: root });
  if (listed.exitCode !== 0) throw new Error(`cannot list the files of the project: ${listed.stderr.toString().trim()}`);
  const paths = listed.stdout
    .toString()
    .split("\0")
    .filter((path) => path !== "" && existsSync(join(root, path)));
  const files = paths.map((path) => ({ path, text: readFileSync(join(root, path), "utf8") })).filter(({ text }) => !text.includes("\0"));
  return {
    files,
    exists: (path) => existsSync(join(root, path)),
    isExecutable: (path) => (statSync(join(root, path)).mode & 0o111) !== 0,
  };
}

export function renderFinding({ path, line, words }: Finding): string {
  return `${path}:${line}: ${words}`;
}

if (import.meta.main) {
  const findings = checkDocs(readTree(join(import.meta.dir, "..")));
  for (const finding of findings) console.error(renderFinding(finding));
  if (findings.length > 0) process.exit(1);
  console.log("docs: ok");
}
