// Programs that boot VMs and use their identities, run as they are: cloud-init, the guest agent and @azure/identity. scripts/fetch-clients
// has them unpacked; they know nothing of the agent but cloud-init's question for its status.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Ids, runProgram } from "./world.ts";

const ROOT = join(import.meta.dir, "../..");
const CLIENTS = join(ROOT, "test/clients");
/** Debian's own Python: the packages are made for it. */
const PYTHON = "/usr/bin/python3";
const LIMIT_MS = 150_000;

/** What a step of a client came to. */
export interface StepOutcome {
  readonly step: string;
  readonly result?: unknown;
  readonly error?: string;
}

export type CloudInitStep = "check-agent" | "metadata" | "ready";
export type GuestAgentStep = "goal-state" | "health" | "vm-settings" | "status-upload" | "log-upload" | "artifact" | "compute";

/** @param path - the client's PATH, in which it looks for `azure-proxy-agent` */
export async function runCloudInit(steps: readonly CloudInitStep[], path: string): Promise<readonly StepOutcome[]> {
  return runSteps(["/usr/bin/env", "-i", `PATH=${path}`, PYTHON, "-I", join(CLIENTS, "cloud_init.py"), ...steps]);
}

export async function runGuestAgent(...steps: readonly GuestAgentStep[]): Promise<readonly StepOutcome[]> {
  return runSteps([PYTHON, "-I", join(CLIENTS, "waagent.py"), ...steps]);
}

async function runSteps(command: readonly string[]): Promise<readonly StepOutcome[]> {
  requireClients(join(ROOT, "build/clients/python"));
  const { code, stdout, stderr } = await runProgram(command, undefined, LIMIT_MS);
  if (code !== 0) throw new Error(`the client ended with ${code}: ${stdout}${stderr}`);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as StepOutcome);
}

export interface TokenOutcome {
  readonly tokenLength?: number;
  readonly expiresInFuture?: boolean;
  readonly error?: string;
  readonly elapsedMs: number;
}

export async function canRunClient(runtime: string, as: Ids): Promise<boolean> {
  const [runs, reads] = await Promise.all([
    runProgram([runtime, "--version"], as),
    runProgram(["test", "-r", join(CLIENTS, "token.mjs")], as),
  ]);
  return runs.code === 0 && reads.code === 0;
}

/** @param runtime - `node` or a path of bun */
export async function requestToken(runtime: string, as?: Ids): Promise<TokenOutcome> {
  requireClients(join(CLIENTS, "node_modules"));
  const { code, stdout, stderr } = await runProgram([runtime, join(CLIENTS, "token.mjs")], as, LIMIT_MS);
  if (code !== 0) throw new Error(`the client ended with ${code}: ${stdout}${stderr}`);
  return JSON.parse(stdout) as TokenOutcome;
}

/** A missing client is a failure: a test that did not look must not pass. */
function requireClients(folder: string): void {
  if (!existsSync(folder)) throw new Error(`found no "${folder}": fetch the clients with "source scripts/setup test"`);
}
