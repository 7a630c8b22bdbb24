// Writes the lines that callers cause: one per request, or one for many when a caller repeats itself or floods the log.
// core/tally/line-limit.ts decides which are left out; this file defines which lines are equal, and when the rest is flushed.

import { createHash } from "node:crypto";
import type { Log } from "../../core/ports.ts";
import type { Owner } from "../../core/tally/connection-shares.ts";
import { type LineToWrite, makeLineLimit, type Repeats } from "../../core/tally/line-limit.ts";
import type { RefusedHead } from "../request/admission.ts";
import type { RequestEnd } from "../request/handle-request.ts";
import { logRequestEnd, requestFields } from "./request-log.ts";

export interface RequestLines {
  ended(end: RequestEnd): void;
  /** A head that is no request. */
  headRefused(end: RequestEnd, refused: RefusedHead): void;
  /** A connection that was closed because its owner has its share. */
  connectionRefused(owner: Owner, direct: boolean): void;
  /** Flushes everything that was left out so far. */
  settle(): void;
}

/** Longer targets are compared by their hash. */
const MAX_PLAIN_TARGET = 256;
/** As many characters as a log field has. */
const MAX_KEPT_TARGET = 8 * 1024;

export function makeRequestLines(log: Log, monotonicMs: () => number): RequestLines {
  const limit = makeLineLimit(monotonicMs);
  // Runs only while something was left out and is not flushed yet: an idle agent has no timer here.
  let timer: ReturnType<typeof setTimeout> | undefined;

  function settle(): void {
    timer = undefined;
    schedule(limit.settle());
  }

  function schedule(afterMs: number | undefined): void {
    if (afterMs !== undefined) timer ??= setTimeout(settle, Math.max(1, afterMs));
  }

  /** True: the line may be written now. */
  function admit(line: LineToWrite): boolean {
    if (limit.admit(line)) return true;
    if (timer === undefined) schedule(limit.settle());
    return false;
  }

  return {
    ended(end) {
      if (admit(lineOf(end, (kept, repeats) => logRequestEnd(log, kept, repeats)))) logRequestEnd(log, end, {});
    },
    headRefused(end, { caller, userId, peer }) {
      // There was no request: its members would say that there was one.
      const {
        requestId: _id,
        method: _method,
        url: _url,
        endorsed: _endorsed,
        elapsedMs: _elapsed,
        epoch: _epoch,
        ...known
      } = requestFields(end);
      const unknown = { reason: end.reason, responseStatus: end.status, detail: end.detail, userId };
      const fields = { ...(caller === undefined ? unknown : known), clientIp: peer.address, clientPort: peer.port };
      const write = (repeats: Repeats) => log.info(end.event, { ...fields, ...repeats });
      const outcome = `malformed-head ${end.status} ${end.detail}`;
      const key = `${outcome}\0${caller?.endpoint}\0${caller?.claims.processFullPath}`;
      if (admit({ user: userId === undefined ? "" : String(userId), key, outcome, keep: () => write })) write({});
    },
    connectionRefused(owner, direct) {
      const user = owner === "unrecorded" ? "" : String(owner);
      const fields = { reason: "too-many-connections", ...(owner === "unrecorded" ? {} : { userId: owner }), direct };
      const write = (repeats: Repeats) => log.warn("connection-refused", { ...fields, ...repeats });
      const what = `connection-refused ${direct}`;
      if (admit({ user, key: what, outcome: what, keep: () => write })) write({});
    },
    settle() {
      clearTimeout(timer);
      timer = undefined;
      limit.settle(true);
    },
  };
}

function lineOf(end: RequestEnd, write: (kept: RequestEnd, repeats: Repeats) => void): LineToWrite {
  const { event, caller, method, target, status, reason, auditDeny } = end;
  const outcome = `${event} ${caller?.endpoint} ${status} ${reason} ${auditDeny}`;
  const asked = target.length <= MAX_PLAIN_TARGET ? target : createHash("sha256").update(target).digest("base64");
  return {
    user: caller === undefined ? "" : String(caller.claims.userId),
    key: `${outcome}\0${method}\0${caller?.claims.processFullPath}\0${asked}`,
    outcome,
    keep: () => {
      const kept = withoutHead(end);
      return (repeats) => write(kept, repeats);
    },
  };
}

/** A copy of the target: a part of a request head would keep the whole head in memory. */
function withoutHead(end: RequestEnd): RequestEnd {
  const target = Buffer.from(end.target.slice(0, MAX_KEPT_TARGET + 1), "utf8").toString("utf8");
  const method = Buffer.from(end.method, "utf8").toString("utf8");
  return { ...end, target, method, request: undefined };
}
