// Explains one decision: the canonical form step by step, the built-in refusals, every privilege and why it did or did not apply,
// and the mode. The decision itself is the component's; an explanation that comes to another one is reported as a defect.

import type { Policy } from "../../core/ports.ts";
import type { Claims } from "../../core/request/caller.ts";
import { type CanonicalRequest, canonicalisePath, decodeQueryComponent, renderCanonical } from "../../core/request/canonical-request.ts";
import { ENDPOINT_FACTS, type Endpoint } from "../../core/request/endpoint.ts";
import { splitTarget } from "../../core/request/request-target.ts";
import type { Mode } from "../../core/request/verdict.ts";
import type { RuleSet } from "../../core/rules/rules.ts";
import { count, quote } from "../../core/text/text-layout.ts";
import { type Decided, decideRequest, type RequestText } from "./decide-request.ts";
import { agrees, type RuleTrace, traceRules } from "./trace-rules.ts";

/** One step on the way to the canonical form. */
export interface FormStep {
  readonly name: string;
  readonly value: string;
}

export interface Explanation {
  readonly endpoint: Endpoint;
  readonly request: RequestText;
  readonly form: readonly FormStep[];
  readonly decided: Decided;
  /** Undefined when a step before the rules decided. */
  readonly trace: RuleTrace | undefined;
  /** In words: what the built-in refusals said, and what the mode does to the rules' answer. */
  readonly builtIn: string;
  readonly modeEffect: string;
  /** Undefined: component and explanation agree, or the component was not called. Else what each says. */
  readonly mismatch: string | undefined;
}

export function explainRequest(rules: RuleSet, endpoint: Endpoint, policy: Policy, request: RequestText, claims: Claims): Explanation {
  const decided = decideRequest(endpoint, rules.mode, policy, request, claims);
  const { canonical, component } = decided;
  const trace = canonical.ok && component !== undefined ? traceRules(rules, canonical.value, claims) : undefined;
  const agreed = trace === undefined || component === undefined || agrees(trace.decision, component);
  return {
    endpoint,
    request,
    form: describeForm(endpoint, request, decided),
    decided,
    trace,
    builtIn: describeBuiltIn(endpoint, decided),
    modeEffect: describeModeEffect(rules.mode, decided),
    mismatch: agreed ? undefined : `the component says ${JSON.stringify(component)}, the explanation ${JSON.stringify(trace?.decision)}`,
  };
}

function describeForm(endpoint: Endpoint, { method, target }: RequestText, { canonical, reason }: Decided): readonly FormStep[] {
  const steps: FormStep[] = [{ name: "received", value: `${method} ${target}` }];
  if (reason === "malformed-head")
    return [
      ...steps,
      {
        name: "refused",
        value: 'no request line can hold this: blanks, controls, "#" and all beyond ASCII are written as percent escapes',
      },
    ];
  const methodRefused = !canonical.ok && canonical.error === "CANON_METHOD";
  if (methodRefused) steps.push({ name: "method", value: `${quote(method)} is not one the agent lets through` });
  const parts = splitTarget(target);
  if (!parts.ok) return [...steps, { name: "refused", value: explainCode(parts.error) }];
  const { destination, path, query } = parts.value;
  if (destination !== "origin-form") {
    const named = destination === "unknown" ? "none of the guarded services" : ENDPOINT_FACTS[destination].title;
    const verb = destination === endpoint ? "the one connected to" : `but the connection is to ${ENDPOINT_FACTS[endpoint].title}`;
    steps.push({ name: "authority", value: `names ${named}, ${verb}` });
  }
  steps.push({ name: "raw path", value: path });
  const read = canonicalisePath(path);
  if (read.ok) {
    const dropped = explainPath(path);
    steps.push({ name: "segments", value: `${JSON.stringify(read.value.segments)}${dropped === "" ? "" : ` (${dropped})`}` });
  }
  if (query !== "") {
    steps.push({ name: "raw query", value: query });
    const pairs = query.split("&").filter((part) => part !== "");
    const decoded = pairs.map((part) => {
      const equals = part.indexOf("=");
      const [name, value] = [
        decodeQueryComponent(equals < 0 ? part : part.slice(0, equals)),
        decodeQueryComponent(equals < 0 ? "" : part.slice(equals + 1)),
      ];
      if (!name.ok || !value.ok) return `${quote(part)} cannot be decoded`;
      return name.value === "" ? `${quote(part)} has no name and is dropped` : `${quote(name.value)} = ${quote(value.value)}`;
    });
    steps.push({ name: count(decoded.length, "pair"), value: decoded.join("; ") });
  }
  if (canonical.ok) steps.push({ name: "canonical", value: `${canonical.value.method} ${renderCanonical(canonical.value)}` });
  else if (!methodRefused) steps.push({ name: "refused", value: explainCode(canonical.error) });
  return steps;
}

/** What of the raw path does not show in its segments. */
function explainPath(raw: string): string {
  const said: string[] = [];
  if (/%[0-9A-Fa-f]{2}/.test(raw)) said.push("percent escapes decoded once");
  if (/[A-Z]/.test(raw)) said.push("A-Z folded");
  const parts = raw
    .replace(/%2f/gi, "/")
    .replace(/%2e/gi, ".")
    .split("/")
    .map((part) => part.replace(/(?:;|%3b).*/i, ""));
  if (/;|%3b/i.test(raw)) said.push("matrix parameters dropped");
  if (parts.slice(1, -1).includes("")) said.push("empty segments dropped");
  if (parts.includes(".")) said.push('"." dropped');
  if (parts.includes("..")) said.push('".." resolved');
  return said.join(", ");
}

/** What each code says is wrong, for people. */
const CODE_TEXTS: Readonly<Record<string, string>> = {
  CANON_SCHEME: "an absolute target must begin with http://",
  CANON_METHOD: "this method is not let through",
  CANON_USERINFO: 'the authority has "@" in it',
  CANON_HOST: "the host in the target has no clear reading",
  CANON_PORT: "the port in the target is no port",
  CANON_PCT: "a percent sign is not followed by two hex digits",
  CANON_UTF8: "the decoded bytes are not UTF-8",
  CANON_CTRL: "a control character",
  CANON_NON_ASCII: "the path is not ASCII",
  CANON_EMBQ: "the decoded path holds a question mark",
  CANON_BACKSLASH: "the path holds a backslash, which some servers take for a slash",
  CANON_UNDERFLOW: '".." climbs above the root',
  CANON_DESTINATION: "the target names another service than the connection goes to",
};

function explainCode(code: string): string {
  return `${code}: ${CODE_TEXTS[code] ?? "no single clear reading"}`;
}

function describeBuiltIn(endpoint: Endpoint, decided: Decided): string {
  const { title, rootOnly } = ENDPOINT_FACTS[endpoint];
  if (decided.step === "form") return "not asked: the request is refused for its form";
  if (decided.reason === "not-root")
    return `${title} serves only root and the caller is not: refused in every mode, whatever the rules say`;
  if (decided.reason === "exempt-upload") return "an upload by root that the host takes unsigned: passes without rules";
  return rootOnly ? `nothing to refuse: ${title} serves only root, and the caller is` : `nothing to refuse: any user may ask ${title}`;
}

function describeModeEffect(mode: Mode, { answer, step, kind }: Decided): string {
  if (step !== "rules") return `${mode}: plays no part here`;
  if (kind === "allow")
    return mode === "disabled" ? "disabled: the endpoint is not even guarded" : `${mode}: an allowed request is forwarded`;
  if (answer === "deny") return "enforce: the caller is answered 403";
  return mode === "audit"
    ? "audit: forwarded all the same, and recorded as would-be denied"
    : "disabled: the endpoint is not guarded, nothing is denied";
}

/** Canonical request of an explanation, for tools that show it. */
export function canonicalOf({ decided }: Explanation): CanonicalRequest | undefined {
  return decided.canonical.ok ? decided.canonical.value : undefined;
}
