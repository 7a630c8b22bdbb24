// The process of `measureCompiler`: prepares the component in argv[2], compiles it, asks it argv[3] times, waits for the compiler's thread and
// prints what that took at most.

import { readFileSync, writeFileSync } from "node:fs";
import { compileComponent, startComponent } from "../../proxy/adapters/policy/component-instance.ts";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { claimsOf } from "./claims.ts";
import type { CompilerLoad } from "./compiler-load.ts";

/** Ends early above this: what takes so much has failed already. */
const FAR_TOO_MUCH = 1024 * 1024 * 1024;
const POLL_MS = 100;
/** Of processor time between two polls: the compiler has nothing to do. */
const QUIET_TICKS = 2;
const QUIET_POLLS = 3;

const [, , path = "", calls = "0"] = process.argv;
const prepared = prepareComponent(new Uint8Array(readFileSync(path)));
if (!prepared.ok) throw new Error(prepared.error.message);
Bun.gc(true);
const before = memory("VmRSS");
// Begins counting the peak anew.
writeFileSync("/proc/self/clear_refs", "5");
const compiled = await compileComponent(prepared.value.prepared);
if (!compiled.ok) throw new Error(compiled.error.message);
const started = startComponent(compiled.value, { fuel: 1_000_000_000, memoryBytes: 8 * 1024 * 1024, reasonBytes: 256 });
if (!started.ok) throw new Error(started.error.message);
const request = { endpoint: "imds", method: "GET", segments: ["x"], trailingSlash: false, query: [] } as const;
const question = { request, claims: claimsOf({}), headers: [], uptimeSeconds: 0, unixSeconds: 0, soFar: undefined };
for (let call = 0; call < Number(calls) && memory("VmRSS") < FAR_TOO_MUCH; call++) {
  const answer = started.value.evaluate(question);
  if (!answer.ok) throw new Error(answer.error.message);
  // A turn of the loop, so that what is compiled is taken up.
  await Bun.sleep(0);
}
for (let quiet = 0, last = processorTicks(); quiet < QUIET_POLLS && memory("VmRSS") < FAR_TOO_MUCH; ) {
  await Bun.sleep(POLL_MS);
  const now = processorTicks();
  quiet = now - last < QUIET_TICKS ? quiet + 1 : 0;
  last = now;
}
const load: CompilerLoad = { peakBytes: memory("VmHWM") - before, estimatedBytes: prepared.value.prepared.compilerBytes };
process.stdout.write(JSON.stringify(load));

function memory(line: "VmRSS" | "VmHWM"): number {
  return Number(new RegExp(`${line}:\\s+(\\d+)`).exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
}

/** User and system time of the process so far. */
function processorTicks(): number {
  const [, ...fields] = readFileSync("/proc/self/stat", "utf8").split(") ");
  const numbers = (fields[0] ?? "").split(" ");
  return Number(numbers[11]) + Number(numbers[12]);
}
