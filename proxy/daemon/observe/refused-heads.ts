// Heads that are no request, for the line, the summaries and the counts of denials: each with who sent it. There is no request in them, so
// nothing here says what was asked for; metrics and the decision trail count requests only.

import type { Snapshot } from "../policy/key-keeper.ts";
import type { RefusedHead } from "../request/admission.ts";
import type { RequestEnd } from "../request/handle-request.ts";

export interface RefusedHeadObservers {
  readonly snapshot: () => Snapshot;
  readonly line: (end: RequestEnd, refused: RefusedHead) => void;
  readonly summary: (end: RequestEnd) => void;
  readonly denial: (end: RequestEnd) => void;
}

/** Too slow, or no memory left: nobody judged the head. */
const NOT_JUDGED: ReadonlySet<number> = new Set([408, 503]);

export function makeRefusedHeads({ snapshot, line, summary, denial }: RefusedHeadObservers): (refused: RefusedHead) => void {
  return (refused) => {
    const end = asEnd(refused, snapshot());
    line(end, refused);
    summary(end);
    if (!NOT_JUDGED.has(refused.status)) denial(end);
  };
}

function asEnd({ caller, status, detail }: RefusedHead, { guards, epoch }: Snapshot): RequestEnd {
  return {
    event: "request-denied",
    requestId: "",
    caller,
    method: "",
    target: "",
    request: undefined,
    status,
    reason: "malformed-head",
    detail,
    verdict: undefined,
    modules: [],
    mode: caller === undefined ? "" : guards[caller.endpoint].mode,
    auditDeny: false,
    endorsed: false,
    epoch,
    elapsedMs: 0,
    identifyMs: undefined,
    policyMs: undefined,
    hostMs: undefined,
  };
}
