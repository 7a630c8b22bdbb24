// The queries of `--status`: to the agent's control socket, which only root can have placed and only root can use, and to the listener
// where there is no such socket or it does not answer soon. Any user may take the listener's port, so its owner is checked.

import { err, type Result } from "../../core/result.ts";
import type { AskError, ProvisionQuestion } from "./ask-provision.ts";
import type { ListenerOwner } from "./listener-owner.ts";
import type { ProvisionAnswer } from "./provision-answer.ts";
import type { FoundSocket } from "./socket-place.ts";

const ROOT = 0;
/** An idle agent answers in a few ms. After this the listener is queried as well, and the first answer counts. */
const HEAD_START_MS = 400;

type Answer = Result<ProvisionAnswer, AskError>;

export interface AgentSources {
  readonly examineSocket: () => FoundSocket;
  readonly askSocket: (question: ProvisionQuestion) => Promise<Answer>;
  readonly askListener: (question: ProvisionQuestion) => Promise<Answer>;
  /** Whose the listener is. */
  readonly listenerOwner: () => ListenerOwner;
  readonly monotonicMs: () => number;
  readonly sleep: (ms: number) => Promise<unknown>;
}

/**
 * One query. Both ways together take no longer than the query's limit, however long one of them hangs.
 * @returns the first answer; else what is wrong with the listener, and with the socket if there is one
 */
export async function askAgent(question: ProvisionQuestion, sources: AgentSources): Promise<Answer> {
  const startedMs = sources.monotonicMs();
  const found = sources.examineSocket();
  if (found.kind === "absent") return askListener(question, sources);
  if (found.kind === "doubtful") return withNote(await askListener(question, sources), found.message);
  const bySocket = sources.askSocket(question);
  const early = await Promise.race([bySocket, sources.sleep(Math.min(HEAD_START_MS, question.limitMs / 2)).then(() => undefined)]);
  if (early?.ok === true) return early;
  const limitMs = Math.max(1, question.limitMs - (sources.monotonicMs() - startedMs));
  const byListener = askListener({ ...question, limitMs }, sources);
  return firstAnswer(bySocket, byListener);
}

/** The first that is an answer; when none is, the listener's error with a word about the socket. */
function firstAnswer(bySocket: Promise<Answer>, byListener: Promise<Answer>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    for (const pending of [bySocket, byListener]) void pending.then((answer) => (answer.ok ? resolve(answer) : undefined), reject);
    void Promise.all([bySocket, byListener]).then(([socket, listener]) => {
      resolve(socket.ok ? socket : withNote(listener, `it ${socket.error.message}`));
    }, reject);
  });
}

async function askListener(question: ProvisionQuestion, sources: AgentSources): Promise<Answer> {
  const answer = await sources.askListener(question);
  const stranger = answer.ok ? strangerAt(sources.listenerOwner()) : undefined;
  // Not connected: the question that counts is the one the agent gets.
  return stranger === undefined ? answer : err({ connected: false, message: stranger });
}

/**
 * Any user may take the port while no agent holds it, and claim that all is well. Checked after the answer: so for a wrong result the
 * user must have gone, and root's listener have come, in between. No user can make the tables unreadable.
 */
function strangerAt(owner: ListenerOwner): string | undefined {
  if (owner.kind === "unknown" || (owner.kind === "user" && owner.uid === ROOT)) return undefined;
  if (owner.kind === "nobody") return "is not running: who answered has gone";
  return `is not running: uid ${owner.uid} listens in its place`;
}

function withNote(answer: Answer, note: string): Answer {
  if (answer.ok || note === `it ${answer.error.message}`) return answer;
  return err({ ...answer.error, message: `${answer.error.message}; control socket: ${note}` });
}
