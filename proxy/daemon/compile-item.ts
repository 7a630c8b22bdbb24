// The process that the daemon starts for a large rule set: an item on standard input, the compiled result on standard output.

import { readFileSync, writeSync } from "node:fs";
import { answerCompileRequest } from "../adapters/policy/compile-item.ts";
import { ENDPOINTS } from "../core/request/endpoint.ts";
import { EXIT } from "../exit-code.ts";

export function compileItemForDaemon(argv: readonly string[]): number {
  const endpoint = ENDPOINTS.find((name) => name === argv[0]);
  if (endpoint === undefined) return EXIT.usage;
  const answer = answerCompileRequest(endpoint, readFileSync(0, "utf8"));
  for (let done = 0; done < answer.length; ) done += writeSync(1, answer, done);
  return EXIT.ok;
}
