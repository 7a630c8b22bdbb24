// Identity tokens are for the host's own services: callers whose cgroup is none of those that the settings describe get none, so what
// runs in a container cannot take the VM's identity. Narrows: what it does not deny is left to the rules.

import { Bytes, CallerView, Endpoint, Outcome, OutcomeKind, OutcomeView, RequestView } from "./bindings/policy";

/** Segments of each pattern; the last one may be `**`. */
let patterns: string[][] = [];

export function validateSettings(settings: Bytes): string | null {
  return readPatterns(settings, null);
}

export function configure(settings: Bytes): string | null {
  return readPatterns(settings, patterns);
}

export function evaluate(request: RequestView, caller: CallerView, soFar: OutcomeView | null): Outcome {
  if (request.endpoint != Endpoint.Imds || !asksForIdentity(request)) return new Outcome(OutcomeKind.Abstain, "not-concerned");
  const cgroup = caller.cgroupPath;
  if (cgroup === null) return new Outcome(OutcomeKind.Deny, "cgroup-unknown");
  const path = cgroup.toString();
  const segments = path.substring(1).split("/");
  for (let i = 0; i < patterns.length; i++) {
    if (path.startsWith("/") && covers(patterns[i], segments)) return new Outcome(OutcomeKind.Abstain, "host-cgroup", render(patterns[i]));
  }
  return new Outcome(OutcomeKind.Deny, "cgroup-not-of-the-host", "", [["cgroup", path.length > 80 ? path.substring(0, 80) : path]]);
}

function asksForIdentity(request: RequestView): bool {
  const segments = request.segments;
  return segments.length >= 2 && segments[0].is("metadata") && segments[1].is("identity");
}

/** Every segment of the pattern fits, and none is left over unless the pattern ends in `**`. */
function covers(pattern: string[], segments: string[]): bool {
  const below = pattern[pattern.length - 1] == "**";
  const fixed = below ? pattern.length - 1 : pattern.length;
  if (below ? segments.length < fixed : segments.length != fixed) return false;
  for (let i = 0; i < fixed; i++) if (!fits(pattern[i], segments[i])) return false;
  return true;
}

/** One `*` stands for one character or more of a segment. */
function fits(pattern: string, segment: string): bool {
  const star = pattern.indexOf("*");
  if (star < 0) return segment == pattern;
  const tail = pattern.substring(star + 1);
  return segment.length >= pattern.length && segment.startsWith(pattern.substring(0, star)) && segment.endsWith(tail);
}

function render(pattern: string[]): string {
  return `/${pattern.join("/")}`;
}

/** Reads the patterns, one per line; gives what is wrong with the first bad one, or null. */
function readPatterns(settings: Bytes, into: string[][] | null): string | null {
  const text = settings.toString();
  if (String.UTF8.byteLength(text) != settings.length) return "want UTF-8";
  const lines = text.split("\n");
  let count = 0;
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    if (line.length == 0 || line.startsWith("#")) continue;
    const trouble = findTrouble(line);
    if (trouble !== null) return `line ${i + 1}: ${trouble}`;
    count++;
    if (into !== null) into.push(line.substring(1).split("/"));
  }
  return count > 0 ? null : "want at least one cgroup: without any, nobody gets a token";
}

function findTrouble(line: string): string | null {
  if (!line.startsWith("/")) return "want a path that begins with /";
  if (line.includes(" ") || line.includes("\t") || line.includes("\r")) return "found a blank, want none";
  const segments = line.substring(1).split("/");
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i];
    if (segment == "" || segment == "." || segment == "..") return "found an empty segment, . or ..";
    const isLast = i == segments.length - 1;
    if (segment == "**" && isLast && i > 0) continue;
    if (segment.includes("**")) return "want ** alone, as the last segment, and not the first";
    if (segment.indexOf("*") != segment.lastIndexOf("*")) return "want at most one * in a segment";
  }
  return null;
}
