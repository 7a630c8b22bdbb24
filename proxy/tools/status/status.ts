// `azure-proxy-agent --status [--wait N]`: is the agent ready? Boot tools run it before the network's other users may start and hang on
// its exit code, so it ends in time whatever the agent does, and says why in one short line.

import { readFileSync } from "node:fs";
import { readNetworkNamespace } from "../../adapters/proc/network-namespace.ts";
import { findConfig } from "../../adapters/storage/find-config.ts";
import { LISTENER_ADDRESS, LISTENER_PORT } from "../../core/request/listener-address.ts";
import type { Result } from "../../core/result.ts";
import { controlSocketPath, readControlSocketKey } from "../../core/status/control-socket.ts";
import { describeError } from "../../core/thrown.ts";
import { EXIT } from "../../exit-code.ts";
import { type AgentSources, askAgent } from "./ask-agent.ts";
import { type AskError, askProvision, type ProvisionQuestion } from "./ask-provision.ts";
import { readListenerOwner } from "./listener-owner.ts";
import type { ProvisionAnswer } from "./provision-answer.ts";
import { examineSocket } from "./socket-place.ts";

/** cloud-init knows 0 from everything else; people and scripts know these. */
export const STATUS_EXIT = { ready: EXIT.ok, notInTime: EXIT.no, finishedWithError: EXIT.finishedWithError } as const;

const PAUSE_MS = 100;
/** A hung agent may be restarted while we wait: a question without an answer is given up and asked again. */
const ATTEMPT_LIMIT_MS = 5_000;
/** Beyond the wait, for an answer that is on its way. The whole program has 2 s. */
const GRACE_MS = 1_200;
/** The first question gets at least this, also when the machine is so slow that the time was over before it could be put. */
const LEAST_ATTEMPT_MS = 300;
/** Within the 2 s, with room for the line and the exit. */
const LATEST_END_MS = 1_800;
/** The platform's health report has room for 512 characters of which the line is a part. */
const MAX_LINE_CHARACTERS = 200;

export interface StatusPorts {
  readonly ask: (question: ProvisionQuestion) => Promise<Result<ProvisionAnswer, AskError>>;
  /** Since this process was started. Waiting is measured by this clock alone: the other one may jump by hours at boot. */
  readonly monotonicMs: () => number;
  readonly epochMs: () => number;
  readonly sleep: (ms: number) => Promise<unknown>;
}

export interface StatusResult {
  readonly exitCode: number;
  /** At most 200 characters, printable ASCII without "|"; empty when ready. */
  readonly line: string;
}

/** Asks once, and with a wait again until the agent has finished or the time is over. Whatever is not ready has a reason in words. */
export async function findStatus(waitSeconds: number, ports: StatusPorts): Promise<StatusResult> {
  const waitMs = waitSeconds * 1000;
  // Who does not wait asks how it is now. Who waits asks for a word of the host from after its start: the VM may have got an owner since.
  const tick = () => (waitSeconds === 0 ? 0n : startTick(ports));
  let notify = true;
  let trouble: string | undefined;
  do {
    const limitMs = attemptLimitMs(waitMs, ports.monotonicMs(), trouble === undefined);
    if (limitMs === undefined) break;
    const answer = await ports.ask({ tick: tick(), notify, limitMs });
    if (answer.ok) {
      const { finished, errorMessage } = answer.value;
      if (finished && errorMessage === "") return { exitCode: STATUS_EXIT.ready, line: "" };
      if (finished) {
        const line = renderLine("", errorMessage, "the agent has finished with an error and does not say which");
        return { exitCode: STATUS_EXIT.finishedWithError, line };
      }
      trouble = errorMessage;
    } else {
      trouble = `the agent ${answer.error.message}`;
    }
    if (answer.ok || answer.error.connected) notify = false;
    if (ports.monotonicMs() + PAUSE_MS < waitMs) await ports.sleep(PAUSE_MS);
    else break;
  } while (ports.monotonicMs() < waitMs);
  const late = `there was no time to query the agent: this command had run for ${Math.ceil(ports.monotonicMs() / 1000)} s by then`;
  return { exitCode: STATUS_EXIT.notInTime, line: renderNotReady(waitSeconds, trouble ?? late) };
}

/** How long the next attempt may take; undefined when the time is over. */
function attemptLimitMs(waitMs: number, nowMs: number, isFirst: boolean): number | undefined {
  const leftMs = Math.min(ATTEMPT_LIMIT_MS, waitMs + GRACE_MS - nowMs);
  if (!isFirst) return leftMs > 0 ? leftMs : undefined;
  const limitMs = Math.min(Math.max(leftMs, LEAST_ATTEMPT_MS), waitMs + LATEST_END_MS - nowMs);
  return limitMs > 0 ? limitMs : undefined;
}

/** When this process was started, on the clock as it goes now: should the clock jump, the agent's own tick jumps with it. */
function startTick({ epochMs, monotonicMs }: StatusPorts): bigint {
  return BigInt(Math.max(0, Math.floor(epochMs() - monotonicMs()))) * 1_000_000n;
}

function renderNotReady(waitSeconds: number, reason: string): string {
  const after = waitSeconds === 0 ? "" : ` after ${waitSeconds} s`;
  return renderLine(`not ready${after}: `, reason, "the agent has not finished and does not say why");
}

/**
 * One line in the alphabet that every report on the way to the platform carries unharmed.
 * @param instead - the text when the one given has no word in it
 */
function renderLine(prefix: string, text: string, instead: string): string {
  const words = text
    .trim()
    .replaceAll(/\s*[\r\n]+\s*/g, "; ")
    .replaceAll(/[^ -~]/g, "?")
    .replaceAll("|", "/");
  const line = `${prefix}${/[A-Za-z0-9]/.test(words) ? words : instead}`;
  return line.length <= MAX_LINE_CHARACTERS ? line : `${line.slice(0, MAX_LINE_CHARACTERS - 3)}...`;
}

/** @param configPath - the config whose `controlSocket` counts; undefined: the one that the daemon reads by default */
export async function status(waitSeconds: number, configPath: string | undefined): Promise<never> {
  const { exitCode, line } = await findStatus(waitSeconds, {
    ask: makeAsk(configPath ?? findConfig()),
    monotonicMs: () => performance.now(),
    epochMs: Date.now,
    sleep: Bun.sleep,
  }).catch((error: unknown) => ({
    exitCode: STATUS_EXIT.notInTime,
    line: renderNotReady(waitSeconds, `internal error: ${describeError(error)}`),
  }));
  if (line !== "") await print(`${line}\n`);
  // Not by running out of things to do: a connection that is still being tried would keep the process up.
  process.exit(exitCode);
}

function makeAsk(configPath: string): StatusPorts["ask"] {
  const namespace = readNetworkNamespace();
  const path = controlSocketPath(readConfiguredSocket(configPath), namespace);
  const sources: AgentSources = {
    examineSocket: () => (path === undefined ? { kind: "absent" } : examineSocket(path)),
    askSocket: (question) => askProvision({ path: path ?? "", namespace }, question),
    askListener: (question) => askProvision({ hostname: LISTENER_ADDRESS, port: LISTENER_PORT }, question),
    listenerOwner: () => readListenerOwner(LISTENER_ADDRESS, LISTENER_PORT),
    monotonicMs: () => performance.now(),
    sleep: Bun.sleep,
  };
  return (question) => askAgent(question, sources);
}

function readConfiguredSocket(configPath: string): string | undefined {
  try {
    return readControlSocketKey(readFileSync(configPath, "utf8"));
  } catch {
    return undefined;
  }
}

/** A reader that has gone or does not read keeps the line, not the program. */
function print(text: string): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 200);
    process.stdout.on("error", () => resolve());
    process.stdout.write(text, () => resolve());
  });
}
