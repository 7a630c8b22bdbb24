// `azure-proxy-agent --status [--wait N]`: is the agent ready? Boot tools run it before the network's other users may start and hang on
// its exit code, so it ends in time whatever the agent does, and says why in one short line.

import { type AskError, askProvision } from "../adapters/running-agent/ask-provision.ts";
import { type ListenerOwner, readListenerOwner } from "../adapters/running-agent/listener-owner.ts";
import { LISTENER_ADDRESS, LISTENER_PORT } from "../core/listener-address.ts";
import type { ProvisionAnswer } from "../core/provision-answer.ts";
import type { Result } from "../core/result.ts";

/** cloud-init knows 0 from everything else; people and scripts know these. */
export const STATUS_EXIT = { ready: 0, notInTime: 1, finishedWithError: 2 } as const;

const ROOT = 0;
const PAUSE_MS = 100;
/** A hung agent may be restarted while we wait: a question without an answer is given up and asked again. */
const ATTEMPT_LIMIT_MS = 5_000;
/** Beyond the wait, for an answer that is on its way. The whole program has 2 s. */
const GRACE_MS = 1_200;
/** The platform's health report has room for 512 characters of which the line is a part. */
const MAX_LINE_CHARACTERS = 200;

export interface StatusPorts {
  readonly ask: (question: {
    readonly tick: bigint;
    readonly notify: boolean;
    readonly limitMs: number;
  }) => Promise<Result<ProvisionAnswer, AskError>>;
  /** Whose the listener is; asked after each answer. */
  readonly owner: () => ListenerOwner;
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

/** Asks once, and with a wait again until the agent has finished or the time is over. */
export async function findStatus(waitSeconds: number, ports: StatusPorts): Promise<StatusResult> {
  const waitMs = waitSeconds * 1000;
  let notify = true;
  let trouble = "";
  do {
    const limitMs = Math.min(ATTEMPT_LIMIT_MS, waitMs + GRACE_MS - ports.monotonicMs());
    if (limitMs <= 0) break;
    const answer = await ports.ask({ tick: startTick(ports), notify, limitMs });
    const stranger = answer.ok ? strangerAt(ports.owner()) : undefined;
    if (stranger !== undefined) {
      // The question that counts is the one the agent gets.
      trouble = stranger;
    } else if (answer.ok) {
      const { finished, errorMessage } = answer.value;
      if (finished && errorMessage === "") return { exitCode: STATUS_EXIT.ready, line: "" };
      if (finished) return { exitCode: STATUS_EXIT.finishedWithError, line: renderLine(errorMessage) };
      trouble = errorMessage === "" ? "the agent has not finished" : errorMessage;
    } else {
      trouble = `the agent ${answer.error.message}`;
    }
    if (stranger === undefined && (answer.ok || answer.error.connected)) notify = false;
    if (ports.monotonicMs() + PAUSE_MS < waitMs) await ports.sleep(PAUSE_MS);
    else break;
  } while (ports.monotonicMs() < waitMs);
  const after = waitSeconds === 0 ? "" : ` after ${waitSeconds} s`;
  return { exitCode: STATUS_EXIT.notInTime, line: renderLine(`not ready${after}: ${trouble}`) };
}

/**
 * Any user may take the port while no agent holds it, and say that all is well. Looked at after the answer: then whoever gave it must
 * have gone, and root's listener have come, in between. Tables that cannot be read are nothing that a user can bring about.
 */
function strangerAt(owner: ListenerOwner): string | undefined {
  if (owner.kind === "unknown" || (owner.kind === "user" && owner.uid === ROOT)) return undefined;
  if (owner.kind === "nobody") return "the agent is not running: who answered has gone";
  return `the agent is not running: uid ${owner.uid} listens in its place`;
}

/** When this process was started, on the clock as it goes now: should the clock jump, the agent's own tick jumps with it. */
function startTick({ epochMs, monotonicMs }: StatusPorts): bigint {
  return BigInt(Math.max(0, Math.floor(epochMs() - monotonicMs()))) * 1_000_000n;
}

/** One line in the alphabet that every report on the way to the platform carries unharmed. */
function renderLine(text: string): string {
  const line = text
    .trim()
    .replaceAll(/\s*[\r\n]+\s*/g, "; ")
    .replaceAll(/[^ -~]/g, "?")
    .replaceAll("|", "/");
  return line.length <= MAX_LINE_CHARACTERS ? line : `${line.slice(0, MAX_LINE_CHARACTERS - 3)}...`;
}

export async function status(waitSeconds: number): Promise<never> {
  const { exitCode, line } = await findStatus(waitSeconds, {
    ask: (question) => askProvision({ ...question, hostname: LISTENER_ADDRESS, port: LISTENER_PORT }),
    owner: () => readListenerOwner(LISTENER_ADDRESS, LISTENER_PORT),
    monotonicMs: () => performance.now(),
    epochMs: Date.now,
    sleep: Bun.sleep,
  });
  if (line !== "") await print(`${line}\n`);
  // Not by running out of things to do: a connection that is still being tried would keep the process up.
  process.exit(exitCode);
}

/** A reader that has gone or does not read keeps the line, not the program. */
function print(text: string): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 200);
    process.stdout.on("error", () => resolve());
    process.stdout.write(text, () => resolve());
  });
}
