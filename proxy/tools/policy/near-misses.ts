// Requests that come close to what a suggestion allows and must be denied all the same: a sibling path, another value, another
// user, another program. A suggestion that lets one of them pass allows more than was observed.

import type { CanonicalRequest } from "../../core/request/canonical-request.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import type { RequestShape } from "./request-shape.ts";
import type { Suggestion } from "./suggest-rules.ts";

export type NearMissKind =
  | "sibling path"
  | "parent path"
  | "other value"
  | "missing parameter"
  | "other user"
  | "unknown user"
  | "other program"
  | "unknown program";

export interface NearMiss {
  readonly kind: NearMissKind;
  readonly userName: string | undefined;
  readonly exePath: string | undefined;
  readonly request: CanonicalRequest;
}

/** A bound on their number: identities share the room. */
const MAX_PER_IDENTITY = 64;
const SUFFIX = "-near-miss";

/** @param endpoint - whose component will decide them */
export function makeNearMisses(suggestion: Suggestion, endpoint: Endpoint): readonly NearMiss[] {
  const users = new Set(suggestion.item.rules.identities.map(({ userName }) => userName));
  const programs = new Set(suggestion.item.rules.identities.map(({ exePath }) => exePath));
  return suggestion.identities.flatMap(({ selectors: { userName, exePath }, privileges }) =>
    privileges
      .flatMap((shape) => {
        const request = requestOf(endpoint, shape);
        const misses: NearMiss[] = [
          { kind: "other user", userName: awayFrom(userName, users), exePath, request },
          { kind: "unknown user", userName: undefined, exePath, request },
        ];
        if (exePath !== undefined) {
          misses.push({ kind: "other program", userName, exePath: awayFrom(exePath, programs), request });
          misses.push({ kind: "unknown program", userName, exePath: undefined, request });
        }
        // Under default allow, what no privilege names is open on purpose.
        if (suggestion.item.defaultAccess === "deny")
          for (const [kind, near] of nearShapes(shape)) misses.push({ kind, userName, exePath, request: requestOf(endpoint, near) });
        return misses;
      })
      .slice(0, MAX_PER_IDENTITY),
  );
}

function nearShapes(shape: RequestShape): readonly (readonly [NearMissKind, RequestShape])[] {
  const { segments, query } = shape;
  const near: (readonly [NearMissKind, RequestShape])[] = [
    ["sibling path", { query, segments: [...segments.slice(0, -1), `${segments.at(-1) ?? ""}${SUFFIX}`] }],
    ["parent path", { query, segments: segments.slice(0, -1) }],
  ];
  for (const { name } of query) {
    const changed = query.map((pair) => (pair.name === name ? { name, value: `${pair.value}${SUFFIX}` } : pair));
    near.push(["other value", { segments, query: changed }]);
    near.push(["missing parameter", { segments, query: query.filter((pair) => pair.name !== name) }]);
  }
  return near;
}

function requestOf(endpoint: Endpoint, { segments, query }: RequestShape): CanonicalRequest {
  return { endpoint, method: "GET", segments, trailingSlash: false, query };
}

/** A text like the given one that is none of these. */
function awayFrom(text: string, taken: ReadonlySet<string | undefined>): string {
  let other = `${text}${SUFFIX}`;
  while (taken.has(other)) other += SUFFIX;
  return other;
}
