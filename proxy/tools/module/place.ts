// Where in the order of modules something goes, as the command line says it.

import { err, ok, type Result } from "../../core/result.ts";
import type { Options } from "../options.ts";
import type { Place } from "./module-changes.ts";

/** `--first`, `--last` or `--before NAME`. */
export function readPlace(options: Options): Result<Place, string> {
  const before = options.value("--before");
  const given = [before !== undefined, options.has("--first"), options.has("--last")].filter(Boolean).length;
  if (given > 1) return err("--first, --last and --before exclude each other");
  if (before !== undefined) return ok({ kind: "before", name: before });
  return ok({ kind: options.has("--first") ? "first" : options.has("--last") ? "last" : "keep" });
}
