// Keeps everyone but root away from the paths that the settings name, one per line; lines that begin with # are comments.
// All else is left to other policies: a module that is not concerned abstains.

import { Bytes, CallerView, Outcome, OutcomeKind, OutcomeView, RequestView, TextList } from "./bindings/policy";

/** Segments of each path. What configure makes stays; keep nothing else between calls. */
let paths: string[][] = [];

export function validateSettings(settings: Bytes): string | null {
  const lines = settings.toString().split("\n");
  for (let i = 0; i < lines.length; i++) {
    const trouble = isPath(lines[i]) ? findTrouble(lines[i]) : null;
    if (trouble !== null) return `line ${i + 1}: ${trouble}`;
  }
  return null;
}

export function configure(settings: Bytes): string | null {
  const trouble = validateSettings(settings);
  if (trouble !== null) return trouble;
  const lines = settings.toString().split("\n");
  for (let i = 0; i < lines.length; i++) if (isPath(lines[i])) paths.push(lines[i].substring(1).split("/"));
  return null;
}

export function evaluate(request: RequestView, caller: CallerView, soFar: OutcomeView | null): Outcome {
  for (let i = 0; i < paths.length && !caller.elevated; i++) {
    if (covers(paths[i], request.segments)) return new Outcome(OutcomeKind.Deny, "path-not-for-users", `/${paths[i].join("/")}`);
  }
  return new Outcome(OutcomeKind.Abstain, "not-concerned");
}

function isPath(line: string): bool {
  return line.length > 0 && !line.startsWith("#");
}

/** What is wrong with a path, or null. */
function findTrouble(path: string): string | null {
  if (!path.startsWith("/")) return "want a path that begins with /";
  for (let i = 0; i < path.length; i++) {
    const ends = i + 1 == path.length || path.charAt(i + 1) == "/";
    if (path.charAt(i) == "/" && ends) return "found an empty segment";
    if (path.charAt(i) != "/" && !isSegmentLetter(path.charCodeAt(i))) return "want a-z, 0-9 and - . _ only";
  }
  return null;
}

function isSegmentLetter(code: i32): bool {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || code == 0x2d || code == 0x2e || code == 0x5f;
}

/** All segments of the path are the request's first ones. */
function covers(path: string[], segments: TextList): bool {
  if (path.length > segments.length) return false;
  for (let i = 0; i < path.length; i++) if (!segments[i].is(path[i])) return false;
  return true;
}
