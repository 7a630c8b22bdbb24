// Where in the order of modules something goes, as the command line says it.

import type { OptionValues } from "../command-line/spec.ts";
import type { Place } from "./module-changes.ts";
import type { PLACE_OPTIONS } from "./table.ts";

/** `--first`, `--last` or `--before NAME`, of which there is one at most. */
export function readPlace({ before, first, last }: OptionValues<typeof PLACE_OPTIONS>): Place {
  if (before !== undefined) return { kind: "before", name: before };
  return { kind: first ? "first" : last ? "last" : "keep" };
}
