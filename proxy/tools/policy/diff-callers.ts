// The callers that matter when two rule sets are compared. Identities only ever require fields to be present, never to be
// absent. So of all callers who are some identity, the one with no other known fields is granted least, and if any of them is
// decided differently because of that identity, this one is. One caller per identity, and one who is none, are therefore enough.

import type { Claims } from "../../core/request/caller.ts";
import { ENDPOINT_FACTS, type Endpoint } from "../../core/request/endpoint.ts";
import { SELECTORS, type Selector } from "../../core/rules/rule-parts.ts";
import type { Identity, RuleSet } from "../../core/rules/rules.ts";
import { type CallerFacts, callerFacts, wantedTexts } from "./selector-fit.ts";

/** One text per selector: an identity with several hashes is several of these. */
export type SelectorTexts = Readonly<Partial<Record<Selector, string>>>;

/** A group of callers that the rules distinguish. */
export interface CallerClass {
  readonly key: string;
  readonly selectors: SelectorTexts;
  /** Fits the selectors and as little else as can be. */
  readonly claims: Claims;
  readonly facts: CallerFacts;
}

export interface CallerClasses {
  /** Fits no identity. */
  readonly nobody: CallerClass;
  /** Keys of the classes of each identity of a rule set; none for an identity that no caller can fit. */
  keysOf(identity: Identity): readonly string[];
  get(key: string): CallerClass | undefined;
}

/** Texts that any of the rule sets mentions, per selector. */
type Vocabulary = Readonly<Record<Selector, ReadonlySet<string>>>;

export function makeCallerClasses(ruleSets: readonly RuleSet[], endpoint: Endpoint): CallerClasses {
  const vocabulary = vocabularyOf(ruleSets);
  const classes = new Map<string, CallerClass>();
  const keys = new Map<Identity, readonly string[]>();
  for (const { identities } of ruleSets) {
    for (const identity of identities) {
      const own: string[] = [];
      for (const selectors of expand(identity)) {
        const claims = leastCaller(selectors, vocabulary, endpoint);
        if (claims === undefined) continue;
        const key = keyOf(selectors);
        own.push(key);
        if (!classes.has(key)) classes.set(key, { key, selectors, claims, facts: callerFacts(claims) });
      }
      keys.set(identity, own);
    }
  }
  const nobody = leastCaller({}, vocabulary, endpoint);
  if (nobody === undefined) throw new Error("internal error: a caller without facts cannot be made");
  return {
    nobody: { key: keyOf({}), selectors: {}, claims: nobody, facts: callerFacts(nobody) },
    keysOf: (identity) => keys.get(identity) ?? [],
    get: (key) => classes.get(key),
  };
}

/** Those classes that are not within another of them; of two that are within each other the first. In the order given. */
export function broadestClasses(classes: readonly CallerClass[]): readonly CallerClass[] {
  const popularity = new Map<string, number>();
  for (const { selectors } of classes) for (const text of textsOf(selectors)) popularity.set(text, (popularity.get(text) ?? 0) + 1);
  // Filed under its rarest text a class meets few others.
  const filed = new Map<string, { readonly each: CallerClass; readonly order: number }[]>();
  classes.forEach((each, order) => {
    const [first = "", ...rest] = textsOf(each.selectors);
    const rarest = rest.reduce((best, text) => ((popularity.get(text) ?? 0) < (popularity.get(best) ?? 0) ? text : best), first);
    const list = filed.get(rarest);
    if (list === undefined) filed.set(rarest, [{ each, order }]);
    else list.push({ each, order });
  });
  return classes.filter((inner, order) => {
    const near = SELECTORS.flatMap((selector) => inner.facts[selector].flatMap((text) => filed.get(`${selector}=${text}`) ?? []));
    return !near.some(
      (outer) => outer.each !== inner && includes(outer.each, inner) && (outer.order < order || !includes(inner, outer.each)),
    );
  });
}

function textsOf(selectors: SelectorTexts): readonly string[] {
  return SELECTORS.flatMap((selector) => (selectors[selector] === undefined ? [] : [`${selector}=${selectors[selector]}`]));
}

/** Is everybody who is of the second class also of the first? */
function includes(first: CallerClass, second: CallerClass): boolean {
  return SELECTORS.every((selector) => {
    const wanted = first.selectors[selector];
    return wanted === undefined || second.facts[selector].includes(wanted);
  });
}

function keyOf(selectors: SelectorTexts): string {
  return JSON.stringify(SELECTORS.map((selector) => selectors[selector] ?? null));
}

function expand(identity: Identity): readonly SelectorTexts[] {
  return SELECTORS.reduce<readonly SelectorTexts[]>(
    (all, selector) => {
      const texts = wantedTexts(identity, selector);
      return texts === undefined ? all : all.flatMap((selectors) => texts.map((text) => ({ ...selectors, [selector]: text })));
    },
    [{}],
  );
}

function vocabularyOf(ruleSets: readonly RuleSet[]): Vocabulary {
  const texts = (selector: Selector) =>
    new Set(ruleSets.flatMap(({ identities }) => identities.flatMap((identity) => wantedTexts(identity, selector) ?? [])));
  return {
    userName: texts("userName"),
    groupName: texts("groupName"),
    exePath: texts("exePath"),
    processName: texts("processName"),
    exeSha256: texts("exeSha256"),
    systemdUnit: texts("systemdUnit"),
    cgroupPath: texts("cgroupPath"),
  };
}

/** Claims that fit the selectors and nothing else that can be avoided; undefined when no caller can fit them. */
function leastCaller(selectors: SelectorTexts, vocabulary: Vocabulary, endpoint: Endpoint): Claims | undefined {
  const processFullPath = leastProgram(selectors, vocabulary);
  const cgroupPath = leastCgroup(selectors, vocabulary);
  const elevated = ENDPOINT_FACTS[endpoint].rootOnly;
  const claims: Claims = {
    processId: 0,
    userId: elevated ? 0 : 65534,
    runAsElevated: elevated,
    userName: selectors.userName ?? unmentioned("somebody-else", vocabulary.userName),
    userGroups: selectors.groupName === undefined ? [] : [selectors.groupName],
    processFullPath,
    processName: processFullPath?.slice(processFullPath.lastIndexOf("/") + 1),
    executableSha256: selectors.exeSha256,
    processCmdLine: "",
    cgroupId: 0n,
    cgroupPath,
    clientAddress: "127.0.0.1",
    clientPort: 0,
  };
  const facts = callerFacts(claims);
  const fits = SELECTORS.every((selector) => {
    const wanted = selectors[selector];
    return wanted === undefined || facts[selector].includes(wanted);
  });
  return fits ? claims : undefined;
}

/** The agent names programs by absolute paths without `..`, and a process by the last component of its program's path. */
function leastProgram({ exePath, processName }: SelectorTexts, vocabulary: Vocabulary): string | undefined {
  if (exePath !== undefined)
    return exePath.startsWith("/") && exePath.length > 1 && !exePath.split("/").includes("..") ? exePath : undefined;
  if (processName === undefined || processName.includes("/") || processName === "." || processName === "..") return undefined;
  const folders = ["/usr/bin", "/opt/unrelated"];
  const path = folders.map((folder) => `${folder}/${processName}`).find((each) => !vocabulary.exePath.has(each));
  return path ?? `${unmentionedFolder(processName, vocabulary.exePath)}/${processName}`;
}

function unmentionedFolder(processName: string, paths: ReadonlySet<string>): string {
  for (let i = 2; ; i++) if (!paths.has(`/opt/unrelated-${i}/${processName}`)) return `/opt/unrelated-${i}`;
}

/** A cgroup brings all around it along, and its units; where there is a choice, one that rules mention nothing of. */
function leastCgroup({ systemdUnit, cgroupPath }: SelectorTexts, vocabulary: Vocabulary): string | undefined {
  if (systemdUnit === undefined) return cgroupPath;
  const slice = unmentionedSlice(vocabulary);
  const natural = systemdUnit.endsWith(".slice") ? "" : "/system.slice";
  const candidates =
    cgroupPath === undefined
      ? [`${natural}/${systemdUnit}`, `/${slice}/${systemdUnit}`]
      : [cgroupPath, `${cgroupPath}/${systemdUnit}`, `${cgroupPath}/${slice}/${systemdUnit}`];
  const rated = candidates.flatMap((path) => {
    const [units, paths] = [factsOfCgroup(path).systemdUnit, factsOfCgroup(path).cgroupPath];
    if (!units.includes(systemdUnit) || (cgroupPath !== undefined && !paths.includes(cgroupPath))) return [];
    const mentioned =
      units.filter((unit) => vocabulary.systemdUnit.has(unit)).length + paths.filter((each) => vocabulary.cgroupPath.has(each)).length;
    return [{ path, mentioned }];
  });
  return rated.reduce<{ readonly path: string; readonly mentioned: number } | undefined>(
    (best, each) => (best === undefined || each.mentioned < best.mentioned ? each : best),
    undefined,
  )?.path;
}

function factsOfCgroup(cgroupPath: string) {
  return callerFacts({ ...NO_CLAIMS, cgroupPath });
}

function unmentionedSlice({ systemdUnit, cgroupPath }: Vocabulary): string {
  for (let i = 1; ; i++) {
    const slice = `unrelated${i === 1 ? "" : i}.slice`;
    if (!systemdUnit.has(slice) && ![...cgroupPath].some((path) => path.includes(slice))) return slice;
  }
}

function unmentioned(text: string, texts: ReadonlySet<string>): string {
  let free = text;
  for (let i = 2; texts.has(free); i++) free = `${text}-${i}`;
  return free;
}

const NO_CLAIMS: Claims = {
  processId: 0,
  userId: 65534,
  runAsElevated: false,
  userName: undefined,
  userGroups: [],
  processFullPath: undefined,
  processName: undefined,
  processCmdLine: "",
  cgroupId: 0n,
  clientAddress: "127.0.0.1",
  clientPort: 0,
};
