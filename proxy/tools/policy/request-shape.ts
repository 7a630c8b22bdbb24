// What a privilege can say about a request: a path without its variable parts, and the query parameters that select what is
// returned. Parameters like `api-version` change how an answer looks, never its content, so they are left out.

import { type CanonicalRequest, canonicalise, type QueryParameter } from "../../core/request/canonical-request.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { RULE_LIMITS } from "../../core/rules/rules.ts";

/** Parameters that choose whose token or which document is given out. Lower case. */
const DECIDING_PARAMETERS: ReadonlySet<string> = new Set(["resource", "client_id", "object_id", "mi_res_id", "msi_res_id", "comp"]);

/** Segments that a privilege path has at least, so that cutting never opens a service as a whole. */
export const LEAST_SEGMENTS: Readonly<Record<Endpoint, number>> = { imds: 2, wireserver: 1, hostga: 1 };

export interface RequestShape {
  /** Canonical, cut before the first variable segment. */
  readonly segments: readonly string[];
  /** Deciding parameters, sorted by name, each once. */
  readonly query: readonly QueryParameter[];
}

export interface ShapedRequest {
  /** As rules see it, with deciding parameters only. */
  readonly request: CanonicalRequest;
  readonly shape: RequestShape;
}

export type ShapeError = "no-clear-reading" | "cut-in-log" | "hidden-in-log" | "contradicting-parameters" | "root-path";

/** Why a request can be in no privilege, in words. */
export const SHAPE_ERROR_TEXTS: Readonly<Record<ShapeError, string>> = {
  "no-clear-reading": "its method or target has no single clear reading; the agent refuses it in every mode or no rule can name it",
  "cut-in-log": "the log has only the beginning of its target",
  "hidden-in-log": "the log hides a part of its target that looks like a secret",
  "contradicting-parameters": "it gives one deciding parameter two values; rules deny that whatever they grant",
  "root-path": "it asks for the root path, and a privilege for that would cover everything",
};

/** What the log puts in place of secrets, lower case as canonical targets are. */
const HIDDEN = "[redacted]";
const LOG_LIMIT_CHARACTERS = 8 * 1024;

/** Reduces a request to what rules can say about it. */
export function shapeRequest(endpoint: Endpoint, method: string, url: string): Result<ShapedRequest, ShapeError> {
  if (url.length >= LOG_LIMIT_CHARACTERS && url.endsWith("…")) return err("cut-in-log");
  const read = canonicalise(endpoint, method, url);
  if (!read.ok || !url.isWellFormed()) return err("no-clear-reading");
  const { segments } = read.value;
  const query = new Map<string, string>();
  for (const { name, value } of read.value.query) {
    if (!DECIDING_PARAMETERS.has(name)) continue;
    if ((query.get(name) ?? value) !== value) return err("contradicting-parameters");
    query.set(name, value);
  }
  const deciding = [...query].map(([name, value]) => ({ name, value })).sort((a, b) => (a.name < b.name ? -1 : 1));
  if (segments.some((segment) => segment.includes(HIDDEN)) || deciding.some(({ value }) => value.includes(HIDDEN)))
    return err("hidden-in-log");
  if (segments.length === 0) return err("root-path");
  const request: CanonicalRequest = { ...read.value, query: deciding };
  return ok({ request, shape: { segments: cutVariable(segments, LEAST_SEGMENTS[endpoint]), query: deciding } });
}

/** The path up to its first variable segment. Too near to the root nothing is cut. */
function cutVariable(segments: readonly string[], least: number): readonly string[] {
  const variable = segments.findIndex((segment, index) => index >= least && isVariable(segment));
  return segments.slice(0, Math.min(variable < 0 ? segments.length : variable, RULE_LIMITS.segmentsPerPath));
}

const GUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;
const NUMBER = /^[0-9]+$/;
const HEX = /^(?=.*[0-9])[0-9a-f]{8,}$/;
const RANDOM = /^(?=.*[0-9])(?=.*[a-z])[0-9a-z_~+=.-]{28,}$/;
const DATE = /^[0-9]{4}-[0-9]{2}-[0-9]{2}/;

/** An index, GUID, hash, date or random word: another one will stand there tomorrow. */
export function isVariable(segment: string): boolean {
  return NUMBER.test(segment) || GUID.test(segment) || HEX.test(segment) || DATE.test(segment) || RANDOM.test(segment);
}

/** Does a privilege of the first shape cover a request of the second? */
export function covers(privilege: RequestShape, asked: RequestShape): boolean {
  return (
    privilege.segments.length <= asked.segments.length &&
    privilege.segments.every((segment, index) => segment === asked.segments[index]) &&
    privilege.query.every(({ name, value }) => asked.query.some((pair) => pair.name === name && pair.value === value))
  );
}

/** One text per shape. */
export function shapeKey({ segments, query }: RequestShape): string {
  return JSON.stringify([segments, query.map(({ name, value }) => [name, value])]);
}

/** For people: canonical path and the parameters it is about. */
export function describeShape({ segments, query }: RequestShape): string {
  const pairs = query.map(({ name, value }) => `${name}=${value}`);
  return `/${segments.join("/")}${pairs.length === 0 ? "" : `?${pairs.join("&")}`}`;
}
