// Reduces what one identity requested to few privileges: as narrow as possible, and merged towards a common path only where there
// would be too many. Merging stops well before a whole service is opened.

import type { Endpoint } from "../../core/request/endpoint.ts";
import { covers, LEAST_SEGMENTS, type RequestShape, shapeKey } from "./request-shape.ts";

/** A deciding parameter with more values than this at one path is not constrained there: a list of all would never end. */
export const MAX_VALUES_PER_PARAMETER = 16;
/** An identity with more privileges than this has siblings merged at their parent path. */
export const MAX_PRIVILEGES_PER_IDENTITY = 32;

export interface ReducedShapes {
  readonly shapes: readonly RequestShape[];
  /** Parameters that are left open because they had too many values, e.g. `resource at /metadata/identity/oauth2/token`. */
  readonly opened: readonly string[];
  /** Paths that siblings were merged at. */
  readonly merged: readonly string[];
}

/** Shapes that together cover everything that the given ones cover; none of them is covered by another. */
export function reduceShapes(endpoint: Endpoint, shapes: readonly RequestShape[]): ReducedShapes {
  const { kept, opened } = openParameters(shapes);
  const merged = new Set<string>();
  let reduced = dropCovered(kept);
  while (reduced.length > MAX_PRIVILEGES_PER_IDENTITY) {
    const parents = findParents(reduced, LEAST_SEGMENTS[endpoint]);
    if (parents.length === 0) break;
    for (const { segments } of parents) merged.add(`/${segments.join("/")}`);
    reduced = dropCovered([...reduced, ...parents]);
  }
  // A merged path that was merged once more is of no interest.
  const paths = new Set(reduced.map(({ segments }) => `/${segments.join("/")}`));
  return { shapes: reduced, opened, merged: [...merged].filter((path) => paths.has(path)) };
}

/** Takes out every shape that another one covers; of equals one stays. */
export function dropCovered(shapes: readonly RequestShape[]): readonly RequestShape[] {
  const narrowLast = [...new Map(shapes.map((shape) => [shapeKey(shape), shape])).values()].sort(
    (a, b) => a.segments.length - b.segments.length || a.query.length - b.query.length,
  );
  const keptAt = new Map<string, RequestShape[]>();
  return narrowLast.filter((shape) => {
    let path = "";
    for (const segment of shape.segments) {
      path += `/${segment}`;
      if (keptAt.get(path)?.some((wider) => covers(wider, shape)) === true) return false;
    }
    const here = keptAt.get(path) ?? [];
    keptAt.set(path, here);
    here.push(shape);
    return true;
  });
}

function openParameters(shapes: readonly RequestShape[]): { readonly kept: readonly RequestShape[]; readonly opened: readonly string[] } {
  const values = new Map<string, Set<string>>();
  const at = (shape: RequestShape, name: string) => `${name} at /${shape.segments.join("/")}`;
  for (const shape of shapes) {
    for (const { name, value } of shape.query) {
      const known = values.get(at(shape, name)) ?? new Set();
      values.set(at(shape, name), known.add(value));
    }
  }
  const opened = new Set([...values].filter(([, known]) => known.size > MAX_VALUES_PER_PARAMETER).map(([place]) => place));
  if (opened.size === 0) return { kept: shapes, opened: [] };
  const kept = shapes.map((shape) => ({ ...shape, query: shape.query.filter(({ name }) => !opened.has(at(shape, name))) }));
  return { kept, opened: [...opened] };
}

/**
 * Where to merge next: the parent path, with the parameters of its children, that has the most children. When no two shapes have
 * the same parent, those of all the deepest ones, which may be siblings after that. Empty when nothing may be merged any more.
 */
function findParents(shapes: readonly RequestShape[], least: number): readonly RequestShape[] {
  const crowds = new Map<string, { readonly parent: RequestShape; children: number }>();
  for (const { segments, query } of shapes) {
    if (segments.length <= least) continue;
    const parent = { segments: segments.slice(0, -1), query };
    const crowd = crowds.get(shapeKey(parent)) ?? { parent, children: 0 };
    crowd.children++;
    crowds.set(shapeKey(parent), crowd);
  }
  const all = [...crowds.values()].sort((a, b) => b.children - a.children || b.parent.segments.length - a.parent.segments.length);
  const [first] = all;
  if (first === undefined) return [];
  if (first.children > 1) return [first.parent];
  return all.map(({ parent }) => parent).filter(({ segments }) => segments.length === first.parent.segments.length);
}
