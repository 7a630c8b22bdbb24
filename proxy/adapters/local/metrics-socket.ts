// Metrics over HTTP on a Unix socket that only root and its group may use. unix-socket.ts creates the socket.

import { Hono } from "hono";
import { EXPOSITION_TYPE } from "../../core/metrics/exposition.ts";
import type { Result } from "../../core/result.ts";
import { serveUnixSocket, type UnixServer } from "./unix-socket.ts";

/** @param render - the whole exposition, made for each request */
export function serveMetrics(path: string, render: () => string): Promise<Result<UnixServer, string>> {
  const app = new Hono();
  app.get("/metrics", (context) => context.body(render(), 200, { "Content-Type": EXPOSITION_TYPE }));
  app.onError((_error, context) => context.body(null, 500));
  return serveUnixSocket({ path, mode: 0o660, what: "metrics" }, (request) => app.fetch(request));
}
