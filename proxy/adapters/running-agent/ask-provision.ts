// One question to the agent that runs on this VM, for the command line. A raw connection: no proxy of the environment is looked at, and
// nothing is loaded that a fast start would feel.

import { MAX_ANSWER_BYTES, type ProvisionAnswer, parseProvisionAnswer } from "../../core/provision-answer.ts";
import { err, type Result } from "../../core/result.ts";

export interface AskError {
  /** Whether somebody accepted the connection. */
  readonly connected: boolean;
  /** What kept it from answering, to follow "the agent". */
  readonly message: string;
}

export interface ProvisionQuestion {
  readonly hostname: string;
  readonly port: number;
  /** Nanoseconds since 1970 on this machine's clock: "finished at or after then?" */
  readonly tick: bigint;
  /** Also asks the agent to look for new orders now. */
  readonly notify: boolean;
  /** For all of it. */
  readonly limitMs: number;
}

/** Settles within the limit, whatever the other side does. Never rejects. */
export function askProvision(question: ProvisionQuestion): Promise<Result<ProvisionAnswer, AskError>> {
  const { hostname, port, limitMs } = question;
  return new Promise((resolve) => {
    let connected = false;
    let done = false;
    let received = new Uint8Array(0);
    let close: (() => void) | undefined;
    const timer = setTimeout(() => end(connected ? "does not answer" : "cannot be connected to in time"), limitMs);

    function settle(result: Result<ProvisionAnswer, AskError>): void {
      if (done) return;
      done = true;
      clearTimeout(timer);
      close?.();
      resolve(result);
    }
    function end(message: string): void {
      settle(err({ connected, message }));
    }
    function look(ended: boolean): void {
      const answer = parseProvisionAnswer(received, ended);
      if (answer === undefined) return;
      settle(answer.ok ? answer : err({ connected, message: answer.error }));
    }

    void Bun.connect({
      hostname,
      port,
      socket: {
        open(socket) {
          if (done) {
            socket.terminate();
            return;
          }
          connected = true;
          close = () => socket.terminate();
          // Small enough for an empty socket buffer.
          socket.write(renderQuestion(question));
        },
        data(_socket, bytes) {
          if (done) return;
          received = Buffer.concat([received, bytes.subarray(0, MAX_ANSWER_BYTES - received.length)]);
          look(false);
        },
        end: () => look(true),
        close: () => look(true),
        error: (_socket, error) => end(`cannot be heard: ${error.message}`),
        connectError: (_socket, error) => end(renderConnectError(error)),
      },
    }).catch((error: unknown) => end(renderConnectError(error)));
  });
}

function renderQuestion({ hostname, port, tick, notify }: ProvisionQuestion): string {
  return [
    "GET /provision HTTP/1.1",
    `Host: ${hostname}:${port}`,
    "Metadata: true",
    `x-ms-azure-time-tick: ${tick}`,
    ...(notify ? ["x-ms-azure-notify: true"] : []),
    "Connection: close",
    "",
    "",
  ].join("\r\n");
}

function renderConnectError(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
  return code === "ECONNREFUSED" ? "is not running: nothing listens" : `cannot be connected to: ${code}`;
}
