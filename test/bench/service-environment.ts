// The variables that the systemd unit sets: what is measured must be what is shipped.

import { readFileSync } from "node:fs";
import { join } from "node:path";

const UNIT = join(import.meta.dir, "../../debian/azure-proxy-agent.service");

export function serviceEnvironment(): Readonly<Record<string, string>> {
  const variables: Record<string, string> = {};
  for (const [, words = ""] of readFileSync(UNIT, "utf8").matchAll(/^Environment=(.*)$/gm)) {
    for (const word of words.split(" ")) variables[word.slice(0, word.indexOf("="))] = word.slice(word.indexOf("=") + 1);
  }
  return variables;
}
