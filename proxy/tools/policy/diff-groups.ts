// Puts changes that are one change for people together: the same callers on many paths, under several methods. What is grouped
// stays exact: a path stands for all below it but for the exceptions that are named.

import type { PolicyDecision } from "../../core/ports.ts";
import { type CanonicalRequest, METHODS, type Method, type QueryParameter } from "../../core/request/canonical-request.ts";
import type { CallerClass, SelectorTexts } from "./diff-callers.ts";
import { type MethodClass, type PathNode, type QueryClass, unlessOf } from "./diff-requests.ts";

export interface Witness {
  readonly request: CanonicalRequest;
  readonly caller: CallerClass;
  readonly old: PolicyDecision;
  readonly new: PolicyDecision;
}

/** What changes for one path, one kind of method, one kind of query. */
export interface FoundChange {
  readonly direction: RuleChange["direction"];
  readonly query:
    | { readonly kind: "any" }
    | { readonly kind: "exact"; readonly class: QueryClass }
    | { readonly kind: "repeated"; readonly name: string };
  readonly who:
    | { readonly kind: "everyone" }
    | { readonly kind: "whoever" }
    | { readonly kind: "callers"; readonly callers: readonly CallerClass[] };
  readonly witness: Witness;
}

export interface NodeChange {
  readonly node: PathNode;
  readonly methodClass: MethodClass;
  readonly changes: readonly FoundChange[];
}

export interface RuleChange {
  readonly direction: "newly-allowed" | "newly-denied";
  /** Each stands for all below it, but for what is below an exception. */
  readonly paths: readonly { readonly path: readonly string[]; readonly except: readonly (readonly string[])[] }[];
  readonly methods: { readonly kind: "any" } | { readonly kind: "only" | "except"; readonly methods: readonly Method[] };
  readonly query:
    | { readonly kind: "any" }
    /** With all of these, and with none of the lists as a whole; `unlessMore` counts lists that are left out. */
    | {
        readonly kind: "exact";
        readonly with: readonly QueryParameter[];
        readonly unless: readonly (readonly QueryParameter[])[];
        readonly unlessMore: number;
      }
    /** This parameter is there with different values. */
    | { readonly kind: "repeated"; readonly name: string };
  /** `everyone`: except those who were allowed before or still are. `whoever`: those whom the other rules allow. */
  readonly who:
    | { readonly kind: "everyone" }
    | { readonly kind: "whoever" }
    | { readonly kind: "callers"; readonly selectors: readonly SelectorTexts[] };
  readonly witness: Witness;
}

/** @param found - paths before what is below them */
export function groupChanges(found: readonly NodeChange[]): readonly RuleChange[] {
  const groups = new Map<string, { readonly change: Omit<RuleChange, "paths">; readonly nodes: Set<PathNode> }>();
  for (const [node, perMethod] of byNode(found)) {
    const byChange = new Map<string, { readonly change: FoundChange; readonly classes: MethodClass[] }>();
    for (const { methodClass, changes } of perMethod) {
      for (const change of changes) {
        const key = describeChange(change);
        const known = byChange.get(key);
        if (known === undefined) byChange.set(key, { change, classes: [methodClass] });
        else known.classes.push(methodClass);
      }
    }
    for (const [changeKey, { change, classes }] of byChange) {
      const methods = describeMethods(
        perMethod.map(({ methodClass }) => methodClass),
        classes,
      );
      const key = `${changeKey} ${JSON.stringify(methods)}`;
      const known = groups.get(key);
      if (known === undefined) groups.set(key, { change: { ...plain(change), methods }, nodes: new Set([node]) });
      else known.nodes.add(node);
    }
  }
  return [...groups.values()].map(({ change, nodes }) => ({ ...change, paths: outline(nodes) }));
}

function byNode(found: readonly NodeChange[]): ReadonlyMap<PathNode, readonly NodeChange[]> {
  const nodes = new Map<PathNode, NodeChange[]>();
  for (const each of found) {
    const known = nodes.get(each.node);
    if (known === undefined) nodes.set(each.node, [each]);
    else known.push(each);
  }
  return nodes;
}

/** @param all - kinds of method at this path; @param those - the kinds that the change is for */
function describeMethods(all: readonly MethodClass[], those: readonly MethodClass[]): RuleChange["methods"] {
  if (those.length === all.length) return { kind: "any" };
  const isThere = (method: Method) => those.some((each) => each.named && each.method === method);
  if (!those.some(({ named }) => !named)) return { kind: "only", methods: METHODS.filter(isThere) };
  return {
    kind: "except",
    methods: METHODS.filter((method) => all.some((each) => each.named && each.method === method) && !isThere(method)),
  };
}

function plain({ direction, query, who, witness }: FoundChange): Omit<RuleChange, "paths" | "methods"> {
  return {
    direction,
    query: query.kind === "exact" ? describeQuery(query.class) : query,
    who: who.kind === "callers" ? { kind: "callers", selectors: who.callers.map(({ selectors }) => selectors) } : who,
    witness,
  };
}

function describeQuery(queryClass: QueryClass) {
  const { lists, more } = unlessOf(queryClass);
  return { kind: "exact", with: queryClass.with, unless: lists, unlessMore: more } as const;
}

function describeChange({ direction, query, who }: FoundChange): string {
  const asked = query.kind === "exact" ? describeQuery(query.class) : query;
  return JSON.stringify([direction, asked, who.kind === "callers" ? who.callers.map(({ key }) => key).sort() : who.kind]);
}

/** The topmost of these nodes, and under each the topmost that are not among them. */
function outline(nodes: ReadonlySet<PathNode>): RuleChange["paths"] {
  const tops = [...nodes].filter(({ parent }) => parent === undefined || !nodes.has(parent));
  return tops.map((top) => {
    const except: (readonly string[])[] = [];
    const waiting = [top];
    for (const node of waiting) {
      for (const child of node.children) {
        if (nodes.has(child)) waiting.push(child);
        else except.push(child.segments);
      }
    }
    return { path: top.segments, except };
  });
}
