// One query to the agent on this VM, for the command line. A raw connection: proxy variables of the environment are ignored, and
// nothing is loaded that would slow down the start.

import { err, type Result } from "../../core/result.ts";
import { NAMESPACE_HEADER } from "../../core/status/control-socket.ts";
import { errorCode } from "../../core/thrown.ts";
import { MAX_ANSWER_BYTES, type ProvisionAnswer, parseProvisionAnswer } from "./provision-answer.ts";

export interface AskError {
  /** Whether the connection was accepted. */
  readonly connected: boolean;
  /** What kept it from answering, to follow "the agent". */
  readonly message: string;
}

/** The listener, or the control socket with the inode of the network namespace whose agent is meant, if it is known. */
export type AgentAddress =
  | { readonly hostname: string; readonly port: number }
  | { readonly path: string; readonly namespace: string | undefined };

export interface ProvisionQuestion {
  /** Nanoseconds since 1970 on this machine's clock: "finished at or after then?" */
  readonly tick: bigint;
  /** Also makes the agent poll the host for the desired state. */
  readonly notify: boolean;
  /** For all of it. */
  readonly limitMs: number;
}

/** Resolves within the limit, whatever the other side does. Never rejects. */
export function askProvision(address: AgentAddress, question: ProvisionQuestion): Promise<Result<ProvisionAnswer, AskError>> {
  return new Promise((resolve) => {
    let connected = false;
    let done = false;
    let received = new Uint8Array(0);
    let close: (() => void) | undefined;
    const timer = setTimeout(() => end(connected ? "does not answer" : "cannot be connected to in time"), question.limitMs);

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

    const socket: Bun.SocketHandler = {
      open(socket) {
        if (done) {
          socket.terminate();
          return;
        }
        connected = true;
        close = () => socket.terminate();
        // Small enough for an empty socket buffer.
        socket.write(renderQuestion(address, question));
      },
      data(_socket, bytes) {
        if (done) return;
        received = Buffer.concat([received, bytes.subarray(0, MAX_ANSWER_BYTES - received.length)]);
        look(false);
      },
      end: () => look(true),
      close: () => look(true),
      error: (_socket, error) => end(`cannot be heard: ${error.message || "unknown"}`),
      connectError: (_socket, error) => end(renderConnectError(error)),
    };
    const connecting =
      "path" in address
        ? Bun.connect({ unix: address.path, socket })
        : Bun.connect({ hostname: address.hostname, port: address.port, socket });
    void connecting.catch((error: unknown) => end(renderConnectError(error)));
  });
}

function renderQuestion(address: AgentAddress, { tick, notify }: ProvisionQuestion): string {
  const namespace = "path" in address ? address.namespace : undefined;
  return [
    "GET /provision HTTP/1.1",
    `Host: ${"path" in address ? "agent" : `${address.hostname}:${address.port}`}`,
    ...(namespace === undefined ? [] : [`${NAMESPACE_HEADER}: ${namespace}`]),
    "Metadata: true",
    `x-ms-azure-time-tick: ${tick}`,
    ...(notify ? ["x-ms-azure-notify: true"] : []),
    "Connection: close",
    "",
    "",
  ].join("\r\n");
}

function renderConnectError(error: unknown): string {
  const code = errorCode(error) ?? "unknown";
  return code === "ECONNREFUSED" || code === "ENOENT" ? "is not running: nothing listens" : `cannot be connected to: ${code}`;
}
