// Compares the imports of proxy/ with the picture in docs/architecture.md: who may import whom, no circle of files, no circle of rooms,
// no adapter that imports a sibling, packages only where they belong. The host simulator imports nothing but itself. Prints each finding.

import { posix } from "node:path";
import { Glob } from "bun";

const LAYERS = ["core", "adapters", "daemon", "tools"] as const;
type Layer = (typeof LAYERS)[number];

/** Layers that a layer may import from, itself included. The daemon and the tools are two programs and never meet. */
const MAY_IMPORT: Readonly<Record<Layer, readonly Layer[]>> = {
  core: ["core"],
  adapters: ["adapters", "core"],
  daemon: ["daemon", "adapters", "core"],
  tools: ["tools", "adapters", "core"],
};

/** They import from every layer: the program, and the table of its commands. */
const OF_ALL_LAYERS: readonly string[] = ["proxy/main.ts", "proxy/commands.ts"];
/** Facts of the whole program, which both programs in it may import. */
const OF_THE_PROGRAM: readonly string[] = ["proxy/version.ts", "proxy/exit-code.ts"];

/** Packages and the few places that may import each. */
const PACKAGE_HOMES: Readonly<Record<string, readonly string[]>> = {
  koffi: ["proxy/adapters/native/"],
  "@koromix/": ["proxy/adapters/native/"],
  hono: ["proxy/adapters/local/"],
  // Rule sets inside components, and records of the decision trail: two formats of ours in one encoding. Not its main entry, which loads
  // a native addon at run time from the folder the program was built in; on another machine another user may own that.
  "cbor-x/index-no-eval": ["proxy/adapters/policy/", "proxy/adapters/trail/"],
};

/** The only adapter others may import: it loads the one native module that several of them speak through. */
const SHARED_ADAPTER = "native";

export interface SourceFile {
  /** From the root of the project on. */
  readonly path: string;
  readonly text: string;
}

/** One line, ready for people. */
export type Finding = string;

interface Import {
  readonly path: string;
  /** As it is written. */
  readonly written: string;
  /** Undefined: a package. */
  readonly target: string | undefined;
}

export function findBadArrows(files: readonly SourceFile[]): readonly Finding[] {
  const imports = files.filter(({ path }) => !path.endsWith(".test.ts")).flatMap(importsOf);
  const arrows = imports.flatMap(({ path, target }): readonly Arrow[] =>
    path.startsWith("proxy/") && target?.startsWith("proxy/") === true ? [[path, target]] : [],
  );
  const betweenRooms = arrows.map(([from, to]): Arrow => [roomOf(from), roomOf(to)]).filter(([from, to]) => from !== to);
  return [
    ...imports.flatMap((found) => {
      const why = found.path.startsWith("proxy/") ? judge(found) : judgeSimulator(found);
      return why === undefined ? [] : [`${found.path} imports "${found.written}": ${why}`];
    }),
    ...findCircles(arrows).map((circle) => `circle of files: ${circle.join(" -> ")}`),
    ...findCircles(betweenRooms).map((circle) => `circle of rooms: ${circle.join(" -> ")}`),
  ];
}

function importsOf({ path, text }: SourceFile): readonly Import[] {
  return [...text.matchAll(/(?:\bfrom|\bimport|\bimport\(|\brequire\()\s*"([^"$]+)"/g)].map((match) => {
    const written = match[1] ?? "";
    return { path, written, target: written.startsWith(".") ? posix.join(posix.dirname(path), written) : undefined };
  });
}

function judge({ path, written, target }: Import): string | undefined {
  const [, layer, folder] = path.split("/");
  if (target !== undefined) {
    const [top, toLayer, toFolder] = target.split("/");
    if (top === "build" || target === "package.json") return undefined;
    if (top !== "proxy") return "leaves proxy/";
    if (OF_ALL_LAYERS.includes(path)) return undefined;
    if (OF_THE_PROGRAM.includes(path)) return "a file of the whole program imports nothing";
    if (OF_THE_PROGRAM.includes(target) && (layer === "daemon" || layer === "tools")) return undefined;
    if (!isLayer(layer) || !isLayer(toLayer) || !MAY_IMPORT[layer].includes(toLayer)) return `${layer} may not import ${toLayer}`;
    if (layer === "adapters" && toLayer === "adapters" && folder !== toFolder && toFolder !== SHARED_ADAPTER)
      return "imports a sibling adapter";
    return undefined;
  }
  if (isRuntime(written)) return layer === "core" && written !== "node:crypto" ? "core reaches the system" : undefined;
  const home = Object.entries(PACKAGE_HOMES).find(([name]) => written === name || written.startsWith(name));
  if (home === undefined) return "a package that is not listed in scripts/check-arrows.ts";
  return home[1].some((place) => path.startsWith(place)) ? undefined : `only ${home[1].join(" and ")} may import this package`;
}

/** Code that checks signatures for others to rely on must not share ours. */
function judgeSimulator({ written, target }: Import): string | undefined {
  if (target === undefined) return isRuntime(written) ? undefined : "the host simulator imports a package";
  return target.startsWith("host-simulator/") ? undefined : "the host simulator imports code that is not its own";
}

function isRuntime(name: string): boolean {
  return name.startsWith("node:") || name === "bun" || name.startsWith("bun:");
}

function isLayer(text: string | undefined): text is Layer {
  return LAYERS.some((layer) => layer === text);
}

/** The folder; a file directly in proxy/ or a layer is a room of its own, or `core/result.ts` and all of core would be one room. */
function roomOf(path: string): string {
  const folder = posix.dirname(path);
  return folder.split("/").length < 3 ? path : folder;
}

type Arrow = readonly [from: string, to: string];

/** One way round for each set of nodes that all reach each other, its first node repeated at the end; sorted. */
export function findCircles(arrows: readonly Arrow[]): readonly (readonly string[])[] {
  const next = new Map<string, Set<string>>();
  for (const [from, to] of arrows) next.set(from, (next.get(from) ?? new Set()).add(to));
  const circles: (readonly string[])[] = [];
  const done = new Set<string>();
  for (const start of [...next.keys()].sort()) {
    if (done.has(start)) continue;
    const circle = shortestCircle(start, next);
    if (circle === undefined) continue;
    circles.push(circle);
    const reached = reachableFrom(start, next);
    for (const node of reached) if (reachableFrom(node, next).has(start)) done.add(node);
  }
  return circles;
}

function shortestCircle(start: string, next: ReadonlyMap<string, ReadonlySet<string>>): readonly string[] | undefined {
  const cameFrom = new Map<string, string>();
  const open = [start];
  for (const node of open) {
    for (const to of [...(next.get(node) ?? [])].sort()) {
      if (to === start) {
        const way = [node];
        for (let at = node; at !== start; ) {
          at = cameFrom.get(at) ?? start;
          way.unshift(at);
        }
        return [...way, start];
      }
      if (cameFrom.has(to)) continue;
      cameFrom.set(to, node);
      open.push(to);
    }
  }
  return undefined;
}

function reachableFrom(start: string, next: ReadonlyMap<string, ReadonlySet<string>>): ReadonlySet<string> {
  const reached = new Set([start]);
  for (const node of reached) for (const to of next.get(node) ?? []) reached.add(to);
  return reached;
}

async function readFiles(root: string): Promise<readonly SourceFile[]> {
  const paths = ["proxy/**/*.ts", "host-simulator/**/*.ts"].flatMap((pattern) => [...new Glob(pattern).scanSync({ cwd: root })]).sort();
  return Promise.all(paths.map(async (path) => ({ path, text: await Bun.file(`${root}/${path}`).text() })));
}

if (import.meta.main) {
  const files = await readFiles(`${import.meta.dir}/..`);
  const bad = findBadArrows(files);
  for (const finding of bad) console.error(finding);
  if (bad.length > 0) process.exit(1);
  console.log(`arrows: ok (${files.length} files)`);
}
