// Collects from request lines who requested what, in bounded memory however many lines there are and whatever callers made them
// say. What does not fit, or what no rule can allow, is counted with its reason: nothing is left out silently.

import type { CanonicalRequest } from "../../core/request/canonical-request.ts";
import { ENDPOINT_FACTS, type Endpoint, isExemptFromSignature } from "../../core/request/endpoint.ts";
import { withoutValues } from "../../core/tally/denial-tally.ts";
import type { LoggedRequest } from "../log-lines.ts";
import { type CallerNote, type CallerSelectors, NOT_NAMEABLE_TEXTS, type NotNameable, readCaller } from "./callers.ts";
import {
  describeShape,
  type RequestShape,
  SHAPE_ERROR_TEXTS,
  type ShapedRequest,
  type ShapeError,
  shapeKey,
  shapeRequest,
} from "./request-shape.ts";

export interface ObservedShape {
  readonly endpoint: Endpoint;
  readonly shape: RequestShape;
  readonly count: number;
  /** Those that the host answered well, or whose answer is unknown. */
  readonly served: number;
  /** Different requests of this shape; not all of them when there are many. */
  readonly requests: readonly CanonicalRequest[];
}

export interface ObservedCaller {
  readonly userName: string;
  readonly exePath: string | undefined;
  readonly selectors: CallerSelectors;
  readonly note: CallerNote | undefined;
  readonly count: number;
  readonly shapes: readonly ObservedShape[];
}

export type UncoveredReason =
  | NotNameable
  | ShapeError
  | "root-only"
  | "refused-form"
  | "denied"
  | "too-many"
  | "rare"
  | "never-served"
  | "unlisted"
  | "other";

export const UNCOVERED_TEXTS: Readonly<Record<UncoveredReason, string>> = {
  ...NOT_NAMEABLE_TEXTS,
  ...SHAPE_ERROR_TEXTS,
  "root-only": "the service is for root only, in every mode; no rule lifts that",
  "refused-form": "the agent refused it for its form; no rule lifts that",
  denied: "it was denied under enforce; --include-denied takes such requests too",
  "too-many": "there are more different callers or requests than are looked at; give fewer lines, or look who makes them",
  rare: "it was seen less often than --min-count says",
  "never-served":
    "it leaves out a parameter that its caller gives elsewhere, and the host never answered it well: a privilege for it would allow every value. SDKs probe so, and take a refusal as a sign that the service is there",
  unlisted: "the log says only how many they were: their user asked for more different things than it takes lines for",
  other: "more kinds than are listed one by one",
};

/** Requests that the suggestion does not allow, and why. */
export interface Uncovered {
  readonly userName: string | undefined;
  readonly exePath: string | undefined;
  /** Path, with names of query parameters. */
  readonly what: string;
  readonly why: UncoveredReason;
  readonly count: number;
}

export interface Observed {
  readonly callers: readonly ObservedCaller[];
  readonly uncovered: readonly Uncovered[];
  /** For the selected endpoints. */
  readonly requests: number;
  /** For other endpoints, or none. */
  readonly elsewhere: number;
  /** Uploads that pass without any rule. */
  readonly exempt: number;
}

export interface Observer {
  add(request: LoggedRequest): void;
  result(): Observed;
}

/**
 * Chosen so that what is kept always compiles (RULE_LIMITS), and so that one user, who may make any number of programs and request
 * anything, can neither exhaust the room of all nor spoil the rules of the others.
 */
export const OBSERVER_LIMITS = {
  callers: 2048,
  callersPerUser: 256,
  shapes: 4096,
  shapesPerUser: 1024,
  /** Of the paths and values that would stand in rules. */
  textBytes: 384 * 1024,
  textBytesPerUser: 64 * 1024,
  requestsPerShape: 32,
  /** Of the URLs of all requests kept as examples. */
  exampleCharacters: 16 * 1024 * 1024,
  uncovered: 512,
} as const;

/** What of the limits a user has taken. */
interface UserRoom {
  callers: number;
  shapes: number;
  textBytes: number;
}

interface CallerRoom {
  readonly userName: string;
  readonly exePath: string | undefined;
  readonly selectors: CallerSelectors;
  readonly note: CallerNote | undefined;
  count: number;
  readonly shapes: Map<string, ShapeRoom>;
}

interface ShapeRoom {
  readonly endpoint: Endpoint;
  readonly shape: RequestShape;
  count: number;
  served: number;
  readonly requests: Map<string, CanonicalRequest>;
}

/** @param endpoints - whose requests to gather */
export function makeObserver(endpoints: readonly Endpoint[], options: { readonly includeDenied: boolean }): Observer {
  const callers = new Map<string, CallerRoom>();
  const rooms = new Map<string, UserRoom>();
  const uncovered = makeUncoveredList();
  let shapes = 0;
  let textBytes = 0;
  let characters = 0;
  let requests = 0;
  let elsewhere = 0;
  let exempt = 0;

  function userRoom(userName: string): UserRoom {
    const known = rooms.get(userName);
    if (known !== undefined) return known;
    const room: UserRoom = { callers: 0, shapes: 0, textBytes: 0 };
    // A user whose first caller finds no room leaves nothing behind.
    if (callers.size < OBSERVER_LIMITS.callers && textBytes < OBSERVER_LIMITS.textBytes) rooms.set(userName, room);
    return room;
  }

  /** Room for a text that would stand in the rules; false when it is used up. */
  function takeText(user: UserRoom, text: string): boolean {
    const bytes = Buffer.byteLength(text);
    if (textBytes + bytes > OBSERVER_LIMITS.textBytes || user.textBytes + bytes > OBSERVER_LIMITS.textBytesPerUser) return false;
    textBytes += bytes;
    user.textBytes += bytes;
    return true;
  }

  function callerRoom(userName: string, logged: LoggedRequest, selectors: CallerSelectors, note: CallerNote | undefined) {
    const exePath = note === "unknown-program" ? undefined : logged.exePath;
    const key = JSON.stringify([userName, exePath]);
    const known = callers.get(key);
    if (known !== undefined) return known;
    const user = userRoom(userName);
    if (callers.size >= OBSERVER_LIMITS.callers || user.callers >= OBSERVER_LIMITS.callersPerUser) return undefined;
    if (!takeText(user, `${userName}${selectors.exePath ?? ""}`)) return undefined;
    user.callers++;
    const room: CallerRoom = { userName, exePath, selectors, note, count: 0, shapes: new Map() };
    callers.set(key, room);
    return room;
  }

  function shapeRoom(caller: CallerRoom, endpoint: Endpoint, { shape }: ShapedRequest): ShapeRoom | undefined {
    const key = `${endpoint} ${shapeKey(shape)}`;
    const known = caller.shapes.get(key);
    if (known !== undefined) return known;
    const user = userRoom(caller.userName);
    if (shapes >= OBSERVER_LIMITS.shapes || user.shapes >= OBSERVER_LIMITS.shapesPerUser) return undefined;
    if (!takeText(user, describeShape(shape))) return undefined;
    shapes++;
    user.shapes++;
    const room: ShapeRoom = { endpoint, shape, count: 0, served: 0, requests: new Map() };
    caller.shapes.set(key, room);
    return room;
  }

  function keepRequest(room: ShapeRoom, request: CanonicalRequest, url: string): void {
    if (room.requests.size >= OBSERVER_LIMITS.requestsPerShape) return;
    const key = request.segments.join("/");
    if (room.requests.has(key)) return;
    // The first one is kept in any case: without it the shape could not be proven.
    if (room.requests.size > 0 && characters + url.length > OBSERVER_LIMITS.exampleCharacters) return;
    characters += url.length;
    room.requests.set(key, request);
  }

  function judge(logged: LoggedRequest, endpoint: Endpoint): UncoveredReason | undefined {
    const { outcome, method, url, elevated, status } = logged;
    if (ENDPOINT_FACTS[endpoint].rootOnly && !elevated) return "root-only";
    if (outcome === "denied" && status !== undefined && status !== 403) return "refused-form";
    if (outcome === "denied" && !options.includeDenied) return "denied";
    const caller = readCaller(logged.userName, logged.exePath);
    if (caller.kind === "not-nameable") return caller.why;
    const shaped = shapeRequest(endpoint, method, url);
    if (!shaped.ok) return shaped.error;
    const room = callerRoom(caller.selectors.userName, logged, caller.selectors, caller.note);
    const shape = room === undefined ? undefined : shapeRoom(room, endpoint, shaped.value);
    if (room === undefined || shape === undefined) return "too-many";
    room.count += logged.repeated;
    shape.count += logged.repeated;
    if (status === undefined || status < 400 || outcome !== "forwarded") shape.served += logged.repeated;
    keepRequest(shape, shaped.value.request, url);
    return undefined;
  }

  return {
    add(logged) {
      const { endpoint } = logged;
      const { repeated, unlisted, userName } = logged;
      if (endpoint === undefined || !endpoints.includes(endpoint)) {
        elsewhere += repeated + unlisted;
        return;
      }
      requests += repeated + unlisted;
      if (unlisted > 0) uncovered.add(userName, undefined, "", "unlisted", unlisted);
      if (logged.elevated && isExemptFromSignature(endpoint, logged.method, logged.url)) {
        exempt += repeated;
        return;
      }
      const why = judge(logged, endpoint);
      if (why !== undefined) uncovered.add(userName, logged.exePath, describeRequest(endpoint, logged), why, repeated);
    },
    result: () => ({
      callers: [...callers.values()].map((caller) => ({
        ...caller,
        shapes: [...caller.shapes.values()].map((shape) => ({ ...shape, requests: [...shape.requests.values()] })),
      })),
      uncovered: uncovered.list(),
      requests,
      elsewhere,
      exempt,
    }),
  };
}

/** The request, with variable parts cut so that a thousand of one kind are one entry. */
function describeRequest(endpoint: Endpoint, { method, url }: LoggedRequest): string {
  const shaped = shapeRequest(endpoint, method, url);
  return shaped.ok ? withoutValues(describeShape(shaped.value.shape)) : withoutValues(url);
}

export interface UncoveredList {
  add(userName: string | undefined, exePath: string | undefined, what: string, why: UncoveredReason, count: number): void;
  /** Most first. */
  list(): readonly Uncovered[];
}

/** Counts by caller, request and reason; beyond the limit all others together. */
export function makeUncoveredList(): UncoveredList {
  const entries = new Map<string, { -readonly [Member in keyof Uncovered]: Uncovered[Member] }>();
  return {
    add(userName, exePath, what, why, count) {
      const key = JSON.stringify([userName, exePath, what, why]);
      const known = entries.get(key);
      const full = known === undefined && entries.size >= OBSERVER_LIMITS.uncovered;
      const entry = full ? entries.get("") : known;
      if (entry !== undefined) entry.count += count;
      else if (full) entries.set("", { userName: undefined, exePath: undefined, what: "", why: "other", count });
      else entries.set(key, { userName, exePath, what, why, count });
    },
    list: () => [...entries.values()].sort((a, b) => b.count - a.count),
  };
}
