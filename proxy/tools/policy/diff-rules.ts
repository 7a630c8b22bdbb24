// What changes from one rule set to another: every kind of request and caller that was denied and is allowed, or the other way
// round, with a witness. The kinds come from the rules themselves (diff-requests.ts, diff-callers.ts) and are exhaustive unless a
// limit was reached, which is reported; both compiled policies decide each of them.

import type { Policy, PolicyDecision } from "../../core/ports.ts";
import type { CanonicalRequest, Method, QueryParameter } from "../../core/request/canonical-request.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import type { RuleSet } from "../../core/rules/rules.ts";
import { broadestClasses, type CallerClass, type CallerClasses, makeCallerClasses } from "./diff-callers.ts";
import { type FoundChange, groupChanges, type NodeChange, type RuleChange } from "./diff-groups.ts";
import {
  type BothSides,
  growPathTree,
  hasSamePatterns,
  type MethodClass,
  methodClasses,
  type PathNode,
  type Pattern,
  PatternIndex,
  type QueryClass,
  queryClasses,
  satisfies,
} from "./diff-requests.ts";

export interface DiffLimits {
  /** Combinations of parameters that are checked for one path and method. */
  readonly combinations: number;
  /** Questions to the two policies. */
  readonly decisions: number;
}

export const DEFAULT_DIFF_LIMITS: DiffLimits = { combinations: 16_384, decisions: 500_000 };

export interface RuleDiff {
  readonly changes: readonly RuleChange[];
  readonly explored: { readonly paths: number; readonly combinations: number; readonly decisions: number };
  /** What was left out, in words; empty when nothing was. */
  readonly omissions: readonly string[];
}

export function diffRules(
  rules: BothSides<RuleSet>,
  policies: BothSides<Policy>,
  endpoint: Endpoint,
  limits: DiffLimits = DEFAULT_DIFF_LIMITS,
): RuleDiff {
  return new Exploration(rules, policies, endpoint, limits).run();
}

/** Decisions of both sides on one request by one caller. */
interface Answers extends BothSides<PolicyDecision> {
  readonly direction: RuleChange["direction"] | undefined;
}

class Exploration {
  readonly #policies: BothSides<Policy>;
  readonly #endpoint: Endpoint;
  readonly #limits: DiffLimits;
  readonly #classes: CallerClasses;
  readonly #root: PathNode;
  readonly #defaults: BothSides<string>;
  readonly #explored = { paths: 0, combinations: 0, decisions: 0 };
  readonly #omissions = new Set<string>();

  constructor(rules: BothSides<RuleSet>, policies: BothSides<Policy>, endpoint: Endpoint, limits: DiffLimits) {
    this.#policies = policies;
    this.#endpoint = endpoint;
    this.#limits = limits;
    this.#classes = makeCallerClasses([rules.old, rules.new], endpoint);
    this.#root = growPathTree(rules, this.#classes);
    this.#defaults = { old: rules.old.defaultAccess, new: rules.new.defaultAccess };
  }

  run(): RuleDiff {
    const found: NodeChange[] = [];
    const waiting = [{ node: this.#root, above: { old: [] as readonly Pattern[], new: [] as readonly Pattern[] }, differs: false }];
    for (const { node, above, differs } of waiting) {
      const patterns = { old: joined(above.old, node.patterns.old), new: joined(above.new, node.patterns.new) };
      const here = differs || this.#defaults.old !== this.#defaults.new || !hasSamePatterns(node);
      if (here) found.push(...this.#exploreNode(node, patterns));
      for (const child of node.children) waiting.push({ node: child, above: patterns, differs: here });
    }
    return { changes: groupChanges(found), explored: this.#explored, omissions: [...this.#omissions] };
  }

  #exploreNode(node: PathNode, patterns: BothSides<readonly Pattern[]>): readonly NodeChange[] {
    if (this.#exhausted()) return [];
    this.#explored.paths++;
    const perMethod = methodClasses([...patterns.old, ...patterns.new]).map((methodClass) => {
      const apply = (side: readonly Pattern[]) =>
        side.filter(({ methods }) => methods === undefined || methods.includes(methodClass.method));
      return { methodClass, changes: this.#exploreMethod(node, methodClass, { old: apply(patterns.old), new: apply(patterns.new) }) };
    });
    return perMethod.map(({ methodClass, changes }) => ({ node, methodClass, changes }));
  }

  #exploreMethod(node: PathNode, { method }: MethodClass, patterns: BothSides<readonly Pattern[]>): readonly FoundChange[] {
    const { classes, complete } = queryClasses([...patterns.old, ...patterns.new], this.#limits.combinations);
    if (!complete)
      this.#omissions.add(
        `more than ${this.#limits.combinations} combinations of parameters on /${node.segments.join("/")}: the larger ones were left out`,
      );
    const index = { old: new PatternIndex(patterns.old), new: new PatternIndex(patterns.new) };
    const perClass: (readonly FoundChange[])[] = [];
    for (const queryClass of classes) {
      if (this.#exhausted()) break;
      this.#explored.combinations++;
      perClass.push(this.#exploreQuery(this.#request(node, method, queryClass.with), queryClass, index));
    }
    const [first = []] = perClass;
    const outcome = describeOutcome(first);
    const isWhole = first.length > 0 && perClass.length === classes.length && perClass.every((each) => describeOutcome(each) === outcome);
    const merged = isWhole ? first.map((change): FoundChange => ({ ...change, query: { kind: "any" } })) : perClass.flat();
    return [...merged, ...this.#exploreRepeated(node, method, patterns)];
  }

  #exploreQuery(request: CanonicalRequest, queryClass: QueryClass, index: BothSides<PatternIndex>): readonly FoundChange[] {
    const [was, is] = [index.old.satisfiedBy(queryClass.with), index.new.satisfiedBy(queryClass.with)];
    const holders = new Set([...was, ...is].flatMap((pattern) => [...pattern.holders]));
    // Granted to the same callers on both sides: nothing to compare.
    if (was.length > 0 && is.length > 0 && [was, is].every((side) => unionSize(side) === holders.size)) return [];
    const query = { kind: "exact", class: queryClass } as const;
    const nobody = this.#ask(request, this.#classes.nobody);
    const found: FoundChange[] = [];
    // Any identified caller is allowed at least what an unidentified one is: this one change stands for all.
    if (nobody.direction !== undefined)
      found.push({
        direction: nobody.direction,
        query,
        who: { kind: "everyone" },
        witness: { request, caller: this.#classes.nobody, ...nobody },
      });
    const changed = [...holders].flatMap((key) => {
      const caller = this.#classes.get(key);
      if (caller === undefined || this.#exhausted()) return [];
      const answers = this.#ask(request, caller);
      return answers.direction === undefined || answers.direction === nobody.direction
        ? []
        : [{ caller, answers, direction: answers.direction }];
    });
    for (const direction of ["newly-allowed", "newly-denied"] as const) {
      const those = new Map(changed.filter((each) => each.direction === direction).map(({ caller, answers }) => [caller, answers]));
      const callers = broadestClasses([...those.keys()]);
      const [caller] = callers;
      const answers = caller === undefined ? undefined : those.get(caller);
      if (caller === undefined || answers === undefined) continue;
      found.push({ direction, query, who: { kind: "callers", callers }, witness: { request, caller, ...answers } });
    }
    return found;
  }

  /** A parameter that only one side constrains: with different values that side denies, whatever the other does. */
  #exploreRepeated(node: PathNode, method: Method, patterns: BothSides<readonly Pattern[]>): readonly FoundChange[] {
    const names = { old: constrainedNames(patterns.old), new: constrainedNames(patterns.new) };
    return (["old", "new"] as const).flatMap((side) => {
      const other = side === "old" ? "new" : "old";
      const { classes } = queryClasses(patterns[other], this.#limits.combinations);
      return [...names[side]]
        .filter((name) => !names[other].has(name))
        .flatMap((name) => {
          for (const { with: pairs } of classes) {
            if (this.#exhausted()) return [];
            this.#explored.combinations++;
            const request = this.#request(node, method, [...pairs, { name, value: "1" }, { name, value: "2" }]);
            const holders = patterns[other].filter(({ query }) => satisfies(pairs, query)).flatMap((pattern) => [...pattern.holders]);
            for (const caller of [this.#classes.nobody, ...new Set(holders)].map((each) =>
              typeof each === "string" ? this.#classes.get(each) : each,
            )) {
              if (caller === undefined) continue;
              const answers = this.#ask(request, caller);
              if (answers.direction !== undefined)
                return [
                  {
                    direction: answers.direction,
                    query: { kind: "repeated", name },
                    who: { kind: "whoever" },
                    witness: { request, caller, ...answers },
                  } as const,
                ];
            }
          }
          return [];
        });
    });
  }

  #request(node: PathNode, method: Method, query: readonly QueryParameter[]): CanonicalRequest {
    return { endpoint: this.#endpoint, method, segments: node.segments, trailingSlash: false, query };
  }

  #ask(request: CanonicalRequest, caller: CallerClass): Answers {
    this.#explored.decisions++;
    const was = this.#policies.old.evaluate(request, caller.claims);
    const is = this.#policies.new.evaluate(request, caller.claims);
    const direction = was.kind === is.kind ? undefined : is.kind === "allow" ? "newly-allowed" : "newly-denied";
    return { old: was, new: is, direction };
  }

  #exhausted(): boolean {
    const over = this.#explored.decisions >= this.#limits.decisions;
    if (over) this.#omissions.add(`the limit of ${this.#limits.decisions} decisions was reached: deeper paths were left out`);
    return over;
  }
}

/** Most paths have no patterns of their own: they share their parent's list. */
function joined(above: readonly Pattern[], own: readonly Pattern[]): readonly Pattern[] {
  return own.length === 0 ? above : [...above, ...own];
}

function unionSize(patterns: readonly Pattern[]): number {
  return new Set(patterns.flatMap(({ holders }) => [...holders])).size;
}

function constrainedNames(patterns: readonly Pattern[]): ReadonlySet<string> {
  return new Set(patterns.flatMap(({ query }) => query.map(({ name }) => name)));
}

function describeOutcome(changes: readonly FoundChange[]): string {
  return JSON.stringify(
    changes.map(({ direction, who }) => [direction, who.kind === "callers" ? who.callers.map(({ key }) => key) : who.kind]),
  );
}
