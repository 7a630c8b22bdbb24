// Lets another process steer a simulator: plain HTTP with JSON on a Unix socket or a loopback port.
// Never shows a key. The Unix socket is for its owner only; a loopback port is open to every local user, so it is opt-in.

import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { parseFault } from "./faults.ts";
import { HOST_ENDPOINTS, type Parsed, parsed, refused } from "./host-model.ts";
import { parseListenAddress } from "./listen-address.ts";
import type { RecordQuery } from "./request-log.ts";
import { changeSettings } from "./settings.ts";
import type { HostSimulator } from "./simulator.ts";

export type ControlPlace =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly address: string; readonly port: number };

export interface ControlServer {
  /** A path, or `127.0.0.1:PORT` with the port that was really taken. */
  readonly place: string;
  stop(): Promise<void>;
}

/** A path, or `127.x.y.z:PORT`. An address outside loopback is refused. */
export function parseControlPlace(found: string): Parsed<ControlPlace> {
  if (found === "") return refused("cannot read control place: it is empty, want a path or 127.0.0.1:PORT");
  if (found.includes("/") || !found.includes(":")) return parsed({ kind: "unix", path: found });
  const address = parseListenAddress(found);
  if (!address.ok) return address;
  if (!address.value.address.startsWith("127.")) return refused(`cannot control from "${found}": want a loopback address or a path`);
  return parsed({ kind: "tcp", ...address.value });
}

/** Starts the control listener. Throws when the place is taken; a socket file without a listener is replaced. */
export async function startControlServer(simulator: HostSimulator, place: ControlPlace): Promise<ControlServer> {
  const fetch = (request: Request): Promise<Response> => answerControl(simulator, request);
  if (place.kind === "tcp") {
    const server = Bun.serve({ hostname: place.address, port: place.port, fetch, idleTimeout: 60 });
    return { place: `${place.address}:${server.port}`, stop: () => server.stop(true) };
  }
  await removeDeadSocket(place.path);
  const server = Bun.serve({ unix: place.path, fetch });
  chmodSync(place.path, 0o600);
  return {
    place: place.path,
    stop: async () => {
      await server.stop(true);
      if (isSocket(place.path)) unlinkSync(place.path);
    },
  };
}

async function answerControl(simulator: HostSimulator, request: Request): Promise<Response> {
  // Web pages may not steer the host through a browser of this machine.
  if (request.headers.has("origin")) return complain("cannot take commands from a web page", 403);
  const { pathname, searchParams } = new URL(request.url);
  switch (`${request.method} ${pathname}`) {
    case "GET /healthz":
      return Response.json({ ok: true, addresses: simulator.addresses, channel: simulator.channel() });
    case "GET /requests": {
      const query = parseRecordQuery(searchParams);
      return query.ok ? Response.json(simulator.requests(query.value)) : complain(query.message);
    }
    case "GET /counters":
      return Response.json(simulator.counters());
    case "GET /telemetry":
      return Response.json(simulator.telemetry());
    case "GET /config":
      return Response.json(simulator.settings());
    case "POST /config":
      return withJson(request, (body) => {
        const checked = changeSettings(simulator.settings(), body);
        if (!checked.ok) return complain(checked.message);
        simulator.configure(checked.value);
        return Response.json(simulator.settings());
      });
    case "GET /faults":
      return Response.json(simulator.faults());
    case "POST /faults":
      return withJson(request, (body) => addFaults(simulator, body));
    case "DELETE /faults":
      simulator.clearFaults();
      return Response.json([]);
    case "POST /new-incarnation":
      return Response.json({ keyIncarnationId: simulator.startIncarnation() });
    case "POST /reset":
      simulator.reset();
      return Response.json({ ok: true });
    default:
      return complain(`cannot ${request.method} ${pathname}: no such control call`, 404);
  }
}

/** One fault or a list; all of them or none. */
function addFaults(simulator: HostSimulator, body: unknown): Response {
  const checked = (Array.isArray(body) ? body : [body]).map(parseFault);
  const bad = checked.find((one) => !one.ok);
  if (bad !== undefined && !bad.ok) return complain(bad.message);
  const ids = checked.flatMap((one) => (one.ok ? [simulator.addFault(one.value)] : []));
  return Response.json({ ids });
}

async function withJson(request: Request, act: (body: unknown) => Response): Promise<Response> {
  let body: unknown;
  try {
    body = await request.json();
  } catch {
    return complain("cannot read the request body: want JSON");
  }
  return act(body);
}

function parseRecordQuery(params: URLSearchParams): Parsed<RecordQuery> {
  let query: RecordQuery = {};
  for (const [name, value] of params) {
    if (name === "endpoint") {
      const endpoint = HOST_ENDPOINTS.find((known) => known === value);
      if (endpoint === undefined) return refused(`cannot list requests: endpoint is "${value}", want one of ${HOST_ENDPOINTS.join(", ")}`);
      query = { ...query, endpoint };
    } else if (name === "verdict") {
      const verdict = (["unsigned", "valid", "invalid"] as const).find((known) => known === value);
      if (verdict === undefined) return refused(`cannot list requests: verdict is "${value}", want unsigned, valid or invalid`);
      query = { ...query, verdict };
    } else if (name === "afterId" || name === "limit") {
      if (!/^\d{1,15}$/.test(value)) return refused(`cannot list requests: ${name} is "${value}", want a whole number`);
      query = { ...query, [name]: Number(value) };
    } else return refused(`cannot list requests: unknown parameter "${name}", want endpoint, verdict, afterId or limit`);
  }
  return parsed(query);
}

function complain(error: string, status = 400): Response {
  return Response.json({ error }, { status });
}

async function removeDeadSocket(path: string): Promise<void> {
  if (!isSocket(path)) return;
  try {
    await fetch("http://control/healthz", { unix: path });
  } catch {
    unlinkSync(path);
    return;
  }
  throw new Error(`cannot control at "${path}": another process listens there`);
}

function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}
