// What an identity's selectors are compared with, one entry per selector: the texts that a caller fits. This is the plain reading
// of what the compiled engine does by tables, and shares no code with it; tools use it to explain, never to let a request pass.

import type { Claims } from "../../core/request/caller.ts";
import { type Identity, normaliseExePath, SELECTORS, type Selector } from "../../core/rules/rule-parts.ts";

/** For each selector the texts that fit this caller; none where the fact is unknown. */
export type CallerFacts = Readonly<Record<Selector, readonly string[]>>;

export function callerFacts(claims: Claims): CallerFacts {
  const cgroup = cgroupFacts(claims.cgroupPath);
  return {
    userName: known(claims.userName),
    groupName: claims.userGroups,
    exePath: known(claims.processFullPath).map(normaliseExePath),
    processName: known(claims.processName),
    exeSha256: known(claims.executableSha256),
    systemdUnit: cgroup.units,
    cgroupPath: cgroup.paths,
  };
}

/** The texts an identity wants for a selector, any one of which is enough; undefined when it does not name the selector. */
export function wantedTexts(identity: Identity, selector: Selector): readonly string[] | undefined {
  const wanted = identity[selector];
  return wanted === undefined ? undefined : typeof wanted === "string" ? [wanted] : wanted;
}

export interface SelectorTrace {
  readonly selector: Selector;
  readonly wanted: readonly string[];
  /** The caller's texts for it; empty: unknown. */
  readonly found: readonly string[];
  readonly fits: boolean;
}

/** Each selector that the identity names; the identity fits when all do. */
export function traceIdentity(identity: Identity, facts: CallerFacts): readonly SelectorTrace[] {
  return SELECTORS.flatMap((selector) => {
    const wanted = wantedTexts(identity, selector);
    if (wanted === undefined) return [];
    const found = facts[selector];
    return [{ selector, wanted, found, fits: wanted.some((text) => found.includes(text)) }];
  });
}

/**
 * The cgroup itself and those around it, and the units that the system's own service manager made of it: the slices at its
 * beginning and the first segment after them. Nothing below an empty segment, `.` or `..` counts.
 */
function cgroupFacts(path: string | undefined): { readonly paths: readonly string[]; readonly units: readonly string[] } {
  const paths: string[] = [];
  const units: string[] = [];
  if (path === undefined || !path.startsWith("/")) return { paths, units };
  let inSlices = true;
  for (const segment of path.slice(1).split("/")) {
    if (segment === "" || segment === "." || segment === "..") break;
    paths.push(`${paths.at(-1) ?? ""}/${segment}`);
    if (inSlices) units.push(segment);
    inSlices &&= /.\.slice$/.test(segment);
  }
  return { paths, units };
}

function known(text: string | undefined): readonly string[] {
  return text === undefined ? [] : [text];
}
