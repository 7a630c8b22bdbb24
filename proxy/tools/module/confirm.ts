// After a change of the modules: waits a little for the running agent to say that it has taken it up.

import { join } from "node:path";
import { hashOf } from "../../adapters/storage/module-store.ts";
import { STATUS_FILE_NAME } from "../../adapters/storage/status-file.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import { renderModuleIndex } from "../../core/modules/module-index.ts";
import { LISTENER_ADDRESS, LISTENER_PORT } from "../../core/request/listener-address.ts";
import { isObject } from "../../core/text/json-text.ts";
import { parseStrictJson } from "../../core/text/strict-json.ts";
import { EXIT } from "../../exit-code.ts";
import { readBoundedFile } from "../bounded-file.ts";
import { fail, printNotes, warn } from "../output.ts";
import { isListening } from "../status/ask-listener.ts";
import type { ModuleConfig } from "./module-config.ts";

const WAIT_MS = 5_000;
const LOOK_AGAIN_MS = 50;
const CONNECT_LIMIT_MS = 1_000;
const MAX_STATUS_BYTES = 16 * 1024 * 1024;

/** What the agent says about its modules. */
export interface ModulesInStatus {
  /** Hash of the list in force. */
  readonly list: string;
  /** Why the newest list is not in force; empty when it is. */
  readonly refusal: string;
  /** By name, such as `in-force`. */
  readonly states: ReadonlyMap<string, string>;
}

/**
 * @param entries - the list that the agent should come to
 * @returns the exit code of the whole command
 */
export async function confirmChange(
  { "no-wait": noWait }: { readonly "no-wait": boolean },
  { statusFolder }: ModuleConfig,
  entries: readonly ModuleEntry[],
): Promise<number> {
  if (noWait) return EXIT.ok;
  const wanted = hashOf(Buffer.from(renderModuleIndex(entries)));
  const path = join(statusFolder, STATUS_FILE_NAME);
  const refusedBefore = readModulesInStatus(path)?.refusal ?? "";
  if (!(await isListening(LISTENER_ADDRESS, LISTENER_PORT, CONNECT_LIMIT_MS))) {
    printNotes(["the agent is not running: this counts from its next start"]);
    return EXIT.ok;
  }
  const deadline = performance.now() + WAIT_MS;
  let refusal = "";
  do {
    const now = readModulesInStatus(path);
    if (now !== undefined && now.list === wanted && now.refusal === "") {
      printNotes(["the running agent has taken it up"]);
      return EXIT.ok;
    }
    refusal = now?.refusal ?? "";
    // One that was there before may be about the list before.
    if (refusal !== "" && refusal !== refusedBefore) break;
    await Bun.sleep(LOOK_AGAIN_MS);
  } while (performance.now() < deadline);
  if (refusal !== "") return fail("no", `the running agent cannot take it up and keeps what it had: ${refusal}`);
  warn(`the running agent has not said within ${WAIT_MS / 1000} s that it has taken this up; see its log`);
  return EXIT.ok;
}

/** Undefined: no status, or one that says nothing about modules. */
export function readModulesInStatus(path: string): ModulesInStatus | undefined {
  const bytes = readBoundedFile(path, MAX_STATUS_BYTES);
  const json = bytes.ok ? parseStrictJson(bytes.value, { maxBytes: MAX_STATUS_BYTES }) : bytes;
  const status = json.ok ? json.value.value : undefined;
  const details = isObject(status) ? status.agentDetails : undefined;
  const modules = isObject(details) ? details.modules : undefined;
  if (!isObject(modules) || typeof modules.list !== "string" || typeof modules.refusal !== "string") return undefined;
  const states = new Map<string, string>();
  for (const each of Array.isArray(modules.installed) ? modules.installed : [])
    if (isObject(each) && typeof each.name === "string" && typeof each.state === "string") states.set(each.name, each.state);
  return { list: modules.list, refusal: modules.refusal, states };
}
