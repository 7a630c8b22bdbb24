// The agent's own endpoints: what provisioning tools and the platform's extension query, on the listener and on the control
// socket. A proxied request never comes here; the agent hands over only exact targets of ours, with the few headers that matter.

import { Hono } from "hono";
import type { Caller } from "../../core/request/caller.ts";
import { headerValue, type RequestHead } from "../../core/request/http-message.ts";
import type { LocalReply } from "../../core/request/replies.ts";
import { NAMESPACE_HEADER } from "../../core/status/control-socket.ts";
import type { AggregateStatus } from "../../core/status/status.ts";

export interface LocalPorts {
  readonly provisioning: {
    isReady(): boolean;
    /** @param tick - nanoseconds since 1970, 0 when none was sent */
    isFinished(tick: bigint): boolean;
    /** What keeps this tick from being finished. */
    errorText(tick: bigint): string;
    /** Makes the agent poll the host. Any user may cause this, so the agent limits the rate. */
    notify(): void;
  };
  readonly status: () => AggregateStatus;
}

export type AnswerLocally = (head: RequestHead, caller: Caller | undefined) => Promise<LocalReply> | undefined;

const TARGETS: ReadonlySet<string> = new Set(["/provision", "/provision?", "/gpa-aggregated-status", "/gpa-aggregated-status?", "/health"]);
const PASSED_HEADERS = ["metadata", "x-ms-azure-time-tick", "x-ms-azure-notify"];

function makeRoutes({ provisioning, status }: LocalPorts) {
  const app = new Hono<{ Bindings: { readonly elevated: boolean } }>();

  app.get("/health", (context) => context.json({ ready: provisioning.isReady() }, provisioning.isReady() ? 200 : 503));

  app.all("/provision", (context) => {
    if (context.req.header("metadata") === undefined) return context.body(null, 400);
    const tick = parseTick(context.req.header("x-ms-azure-time-tick"));
    const finished = provisioning.isFinished(tick);
    if (context.req.header("x-ms-azure-notify") !== undefined && !finished) provisioning.notify();
    return context.json({ finished, errorMessage: provisioning.errorText(tick) });
  });

  app.all("/gpa-aggregated-status", (context) => {
    if (context.req.header("metadata") === undefined) return context.body(null, 400);
    if (!context.env.elevated) return context.body(null, 403);
    return context.json(status());
  });

  return app;
}

/**
 * The same endpoints for the control socket, which only root may use.
 * @param namespace - inode of the agent's network namespace; a command of another one is answered 421
 */
export function makeControlApp(ports: LocalPorts, namespace: string | undefined): (request: Request) => Response | Promise<Response> {
  const app = makeRoutes(ports);
  app.onError((_error, context) => context.body(null, 500));
  return (request) => {
    const asked = request.headers.get(NAMESPACE_HEADER);
    if (asked !== null && asked !== namespace) return new Response(null, { status: 421 });
    return app.fetch(request, { elevated: true });
  };
}

export function makeLocalApp(ports: LocalPorts): AnswerLocally {
  const app = makeRoutes(ports);
  return (head, caller) => {
    if (!TARGETS.has(head.target)) return undefined;
    const headers = new Headers();
    for (const name of PASSED_HEADERS) {
      const value = headerValue(head.headers, name);
      if (value !== undefined) headers.set(name, value);
    }
    const request = new Request(`http://agent${head.target}`, { method: knownMethod(head.method), headers });
    return respond(app.fetch(request, { elevated: caller?.claims.runAsElevated === true }));
  };
}

async function respond(pending: Response | Promise<Response>): Promise<LocalReply> {
  const response = await pending;
  // With the charset, as the platform's tools know it.
  const type = response.headers.get("content-type")?.replace(/^application\/json$/, "application/json; charset=utf-8") ?? null;
  const body = new Uint8Array(await response.arrayBuffer());
  return { status: response.status, headers: type === null ? [] : [["Content-Type", type]], body, close: false };
}

/** Fetch's Request turns methods it does not know into others or throws; for our endpoints those all count as POST. */
function knownMethod(method: string): string {
  return ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"].includes(method) ? method : "POST";
}

/** Decimal nanoseconds; anything else counts as 0, before any start of provisioning. */
function parseTick(text: string | undefined): bigint {
  return text !== undefined && /^[0-9]{1,39}$/.test(text) ? BigInt(text) : 0n;
}
