// The identities of a rule set as table rows: the selectors of each, and the one it is indexed by.

import { SELECTORS, type Selector } from "../rule-parts.ts";
import type { RulePlan } from "./rule-plan.ts";
import { SCOPE } from "./table-layout.ts";
import { rarest, type ScopedText, type TextPool } from "./text-pool.ts";

export interface IdentityRows {
  readonly texts: readonly ScopedText[];
  readonly selectors: readonly number[];
  readonly identityLists: readonly number[];
  readonly identities: readonly number[];
  readonly identityNames: readonly number[];
}

/** Identities filed under their rarest selector, so that a caller meets few that are not its own. */
export function writeIdentities(plan: RulePlan, texts: TextPool, nodeCount: number): IdentityRows {
  const numbers = new Map<string, number>();
  const popularity = new Map<number, number>();
  const entries: ScopedText[] = [];
  const selectorOf = (kind: Selector, text: string): number => {
    const key = `${kind}=${text}`;
    let number = numbers.get(key);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(key, number);
      entries.push({ scope: nodeCount + SCOPE[kind], string: texts.number(text), value: number });
    }
    popularity.set(number, (popularity.get(number) ?? 0) + 1);
    return number;
  };
  const identities: number[] = [];
  const identityNames: number[] = [];
  const wanted = plan.identities.map(({ selectors, names, grantClass }) => {
    const chosen = SELECTORS.map((kind) => {
      const text = selectors[kind];
      return text === undefined ? undefined : selectorOf(kind, text);
    });
    identities.push(
      ...chosen.map((selector) => (selector === undefined ? 0 : selector + 1)),
      grantClass,
      identityNames.length,
      names.length,
    );
    identityNames.push(...names.map((name) => texts.number(name)));
    return chosen.filter((selector) => selector !== undefined);
  });
  const lists: number[][] = Array.from(numbers, () => []);
  wanted.forEach((selectors, identity) => {
    lists[rarest(selectors, popularity)]?.push(identity);
  });
  const selectors: number[] = [];
  const identityLists: number[] = [];
  for (const list of lists) {
    selectors.push(identityLists.length, list.length);
    identityLists.push(...list);
  }
  return { texts: entries, selectors, identityLists, identities, identityNames };
}
