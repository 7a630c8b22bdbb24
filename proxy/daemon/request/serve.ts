// The listener, and what becomes of each connection and request on it. Tells through signals what came in and how it ended; decides
// nothing itself: admission.ts gives places, handle-request.ts answers.

import { uptime } from "node:os";
import { DEFAULT_HTTP_LIMITS } from "../../adapters/http/limits.ts";
import { type Listener, startListener } from "../../adapters/http/listener.ts";
import type { AnswerLocally } from "../../adapters/local/app.ts";
import type { AccountOf } from "../../adapters/proc/accounts.ts";
import { makeIdentify } from "../../adapters/proc/identify.ts";
import { type OpenSocket, settleListening } from "../../adapters/service/listening-socket.ts";
import type { Log, Redirector } from "../../core/ports.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { LISTENER_ADDRESS, LISTENER_PORT } from "../../core/request/listener-address.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { Owner } from "../../core/tally/connection-shares.ts";
import { describeDefect } from "../../core/thrown.ts";
import { makeSignal, type Signal } from "../signals.ts";
import type { StopSteps } from "../stop-steps.ts";
import { type ConnectionAdmission, makeAdmission, type RefusedHead } from "./admission.ts";
import { handleRequest, type RequestEnd, type RequestPorts } from "./handle-request.ts";

const STOP_GRACE_MS = 5_000;
const DIRECT_CONNECTIONS_PER_USER = 64;

export interface ServePorts {
  readonly socket: OpenSocket;
  readonly redirector: Redirector & { readonly kernelProcessId: number; readonly unpinnedReason: string | undefined };
  /** Paths of callers' cgroups count from here. */
  readonly cgroupRoot: string | undefined;
  readonly snapshot: RequestPorts["snapshot"];
  readonly hostDate: RequestPorts["hostDate"];
  /** Account name and groups of a user id. */
  readonly accountOf: AccountOf;
  /** Starts a process that hashes executables. */
  readonly hashCommand: readonly string[];
  /** Random, so that request ids of two runs differ. */
  readonly runId: string;
  readonly log: Log;
  readonly monotonicMs: () => number;
  readonly stops: StopSteps;
}

/** What the requests of an open listener need besides. */
export interface OpenPorts {
  /** For our own endpoints. */
  readonly answerLocally: AnswerLocally;
  /** Whether what is in effect for an endpoint looks at names of accounts; asked for each connection. */
  readonly namesWanted: (endpoint: Endpoint) => boolean;
  /** Whether what is in effect looks at the content of executables; asked for each connection. */
  readonly hashWanted: () => boolean;
}

export interface Serve {
  readonly ended: Pick<Signal<RequestEnd>, "subscribe">;
  /** A head that is no request, at once. */
  readonly headMalformed: Pick<Signal, "subscribe">;
  /** The same, once its caller is known or cannot be. */
  readonly headRefused: Pick<Signal<RefusedHead>, "subscribe">;
  /** A connection that was closed because its owner has its share. */
  readonly connectionRefused: Pick<Signal<{ readonly owner: Owner; readonly direct: boolean }>, "subscribe">;
  /** A connection that the kernel has no record of. */
  readonly unrecorded: Pick<Signal, "subscribe">;
  isListening(): boolean;
  connections(): number;
  /** Connections that were closed to make room for another user's. */
  evicted(): number;
  /** Since start. */
  requests(): number;
  /** Accepts from now on, until the agent stops; the error is for people. */
  open(ports: OpenPorts): Result<void, string>;
}

export function makeServe(ports: ServePorts): Serve {
  const { redirector, log, monotonicMs, socket, stops } = ports;
  const ended = makeSignal<RequestEnd>(log);
  const headMalformed = makeSignal(log);
  const headRefused = makeSignal<RefusedHead>(log);
  const connectionRefused = makeSignal<{ readonly owner: Owner; readonly direct: boolean }>(log);
  const unrecorded = makeSignal(log);
  let listener: Listener | undefined;
  let admission: ConnectionAdmission | undefined;
  let requests = 0;

  function open({ answerLocally, namesWanted, hashWanted }: OpenPorts): Result<void, string> {
    const listening = startListener({
      hostname: LISTENER_ADDRESS,
      port: LISTENER_PORT,
      descriptor: socket.descriptor,
      limits: DEFAULT_HTTP_LIMITS,
      accept: (connection, held) => admission?.admit(connection, held) ?? { kind: "refuse" },
      onRefusal: () => headMalformed.emit(),
      onError: (where, error) => log.error("internal-error", { where, message: describeDefect(error) }),
    });
    if (!listening.ok) return err(listening.error.message);
    listener = listening.value;
    stops.add({ what: "listener", run: () => listening.value.stop(STOP_GRACE_MS) });
    for (const message of settleListening(socket)) log.warn("listener-not-settled", { message });
    const requestPorts: RequestPorts = {
      snapshot: ports.snapshot,
      hostDate: ports.hostDate,
      nextRequestId: () => `${ports.runId}-${++requests}`,
      monotonicMs,
      readClock: () => ({ uptimeSeconds: Math.floor(uptime()), unixSeconds: Math.floor(Date.now() / 1000) }),
      answerLocally: ({ head }, caller) => answerLocally(head, caller),
      ended: ended.emit,
    };
    // In the same turn of the loop as the listener: no connection comes in between.
    const { maxConnections } = listening.value;
    admission = makeAdmission({
      redirector,
      identify: makeIdentify({
        kernelProcessId: redirector.kernelProcessId,
        ...(ports.cgroupRoot === undefined ? {} : { cgroupRoot: ports.cgroupRoot }),
        unpinnedReason: redirector.unpinnedReason,
        accountOf: ports.accountOf,
        namesWanted,
        executableHash: { wanted: hashWanted, command: ports.hashCommand },
      }),
      handle: (exchange, lookup) => handleRequest(exchange, lookup, requestPorts),
      headRefused: headRefused.emit,
      refused: (owner, direct) => connectionRefused.emit({ owner, direct }),
      unrecorded: unrecorded.emit,
      limits: {
        places: maxConnections,
        rootReserve: Math.floor(maxConnections / 8),
        perUser: Math.floor(maxConnections / 4),
        directPerUser: DIRECT_CONNECTIONS_PER_USER,
      },
      monotonicMs,
    });
    return ok(undefined);
  }

  return {
    ended,
    headMalformed,
    headRefused,
    connectionRefused,
    unrecorded,
    isListening: () => listener !== undefined && !stops.isStopping(),
    connections: () => listener?.connectionCount ?? 0,
    evicted: () => admission?.shares.evicted() ?? 0,
    requests: () => requests,
    open,
  };
}
