// Keeps everyone but root away from the paths that the settings name, one per line; lines that begin with # are comments.
// All else is left to other policies: a module that is not concerned abstains.

import type { Authorizer } from "./bindings/policy";

/** Segments of each path. */
let paths: readonly (readonly string[])[] = [];

export const authorizer: Authorizer = {
  validateSettings(settings) {
    parsePaths(settings);
  },

  configure(settings) {
    paths = parsePaths(settings);
  },

  evaluate(request, caller) {
    const covering = caller.elevated ? undefined : paths.find((path) => path.every((segment, i) => request.segments[i] === segment));
    if (covering === undefined) return { kind: "abstain", reason: "not-concerned", rule: "", labels: [] };
    return { kind: "deny", reason: "path-not-for-users", rule: `/${covering.join("/")}`, labels: [] };
  },
};

/** Throws what is wrong, as the text that the operator reads. */
function parsePaths(settings: Uint8Array): readonly (readonly string[])[] {
  return asciiLines(settings).flatMap((line, i) => {
    if (line === "" || line.startsWith("#")) return [];
    const trouble = findTrouble(line);
    if (trouble !== undefined) throw `line ${i + 1}: ${trouble}`;
    return [line.slice(1).split("/")];
  });
}

function findTrouble(path: string): string | undefined {
  if (!path.startsWith("/")) return "want a path that begins with /";
  for (const segment of path.slice(1).split("/")) {
    if (segment === "") return "found an empty segment";
    if (!/^[a-z0-9._-]+$/.test(segment)) return "want a-z, 0-9 and - . _ only";
  }
  return undefined;
}

/** There is no TextDecoder here; bytes beyond ASCII become characters that no path may have. */
function asciiLines(bytes: Uint8Array): readonly string[] {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text.split("\n");
}
