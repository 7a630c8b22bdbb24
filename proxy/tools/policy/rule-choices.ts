// Options that choose rules out of a file that holds several.

import { ENDPOINTS, type Endpoint, parseEndpoint } from "../../core/request/endpoint.ts";
import { MODES, parseMode } from "../../core/request/verdict.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { quote } from "../../core/text/text-layout.ts";
import type { Options } from "../options.ts";
import type { RuleChoices } from "./rule-document.ts";

/** `--endpoint` and `--mode`. */
export function readRuleChoices(options: Options): Result<RuleChoices, string> {
  const endpointText = options.value("--endpoint");
  const endpoint: Endpoint | undefined = endpointText === undefined ? undefined : parseEndpoint(endpointText);
  if (endpointText !== undefined && endpoint === undefined)
    return err(`--endpoint wants ${ENDPOINTS.join(", ")}, found ${quote(endpointText)}`);
  const modeText = options.value("--mode");
  const mode = modeText === undefined ? undefined : parseMode(modeText);
  if (modeText !== undefined && mode === undefined) return err(`--mode wants ${MODES.join(", ")}, found ${quote(modeText)}`);
  return ok({ endpoint, mode });
}
