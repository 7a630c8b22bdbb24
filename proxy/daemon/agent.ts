// Puts the agent together and runs it: binds the listening socket, loads the redirect programs, gets rules and key, then accepts. Each
// part registers its stop where it is made; a stop runs them in reverse.
// Nothing here decides about a request; request/handle-request.ts does.

import { probeListener } from "../adapters/http/probe.ts";
import { sendOnce } from "../adapters/http/send-once.ts";
import { makeLocalApp } from "../adapters/local/app.ts";
import type { LogOutput } from "../adapters/log/lines.ts";
import { releaseIdleCode, releaseIdleMemory } from "../adapters/native/idle-memory.ts";
import { openAccounts } from "../adapters/proc/identify.ts";
import { countWaiting } from "../adapters/service/listening-socket.ts";
import { takeNotify } from "../adapters/service/notify.ts";
import type { Config } from "../core/config.ts";
import type { Log } from "../core/ports.ts";
import { LISTENER_ADDRESS, LISTENER_PORT } from "../core/request/listener-address.ts";
import { err, ok, type Result } from "../core/result.ts";
import { startControlService } from "./life/control-service.ts";
import { makeProvisionedTags } from "./life/provisioned-tags.ts";
import { makeProvisioning } from "./life/provisioning.ts";
import { makeProvisioningFeed } from "./life/provisioning-feed.ts";
import { makeQuietTime } from "./life/quiet-time.ts";
import { makeWatchdog } from "./life/watchdog.ts";
import { startModules } from "./modules/module-runtime.ts";
import { makeAccountsWatch } from "./observe/accounts-watch.ts";
import { makeObserve } from "./observe/observe.ts";
import { makePolicyState } from "./policy/policy-state.ts";
import { makeExecutablesPart } from "./redirect/executables-part.ts";
import { openRedirect } from "./redirect/open-redirect.ts";
import { makeRedirectPart } from "./redirect/redirect-check.ts";
import { lockInstance, openDoor, settledWithin, WARM_START_MS } from "./redirect/takeover.ts";
import { makeCrowding } from "./request/crowding.ts";
import { makeServe } from "./request/serve.ts";
import { makeSignal } from "./signals.ts";
import { makeStartTiming } from "./start-timing.ts";
import { makeStopSteps, type StopSteps } from "./stop-steps.ts";

const PROBE_MS = 10_000;
const LISTENER = `${LISTENER_ADDRESS}:${LISTENER_PORT}`;

/** Why the agent does not start, with the exit code that says so. */
export interface StartError {
  readonly kind: "capability" | "listener" | "held";
  readonly message: string;
}

export interface RunningAgent {
  /** Finishes what is in flight and leaves the redirect to a successor, or takes it off before. */
  stop(): Promise<void>;
}

export interface AgentEnvironment {
  readonly version: string;
  readonly executablePath: string;
  /** Starts the process that compiles a large rule set; an endpoint's name is added. */
  readonly compileCommand: readonly string[];
  /** Starts a process that hashes executables. */
  readonly hashCommand: readonly string[];
  /** Ends each request's line; not used for anything else. */
  readonly log: Log;
  /** Has lines of that log taken elsewhere, too. */
  readonly addLogOutput: (output: LogOutput) => void;
  /** Lines of that log that were lost so far. */
  readonly logLinesDropped: () => number;
  /** Random, so that request ids of two runs differ. */
  readonly runId: string;
}

/** A start that fails, expected or by a defect, has undone what would stay behind when it returns. */
export async function startAgent(config: Config, environment: AgentEnvironment): Promise<Result<RunningAgent, StartError>> {
  const stops = makeStopSteps(environment.log);
  let started = false;
  try {
    const found = await start(config, environment, stops);
    started = found.ok;
    return found.ok ? ok({ stop: stops.stop }) : found;
  } finally {
    if (!started) await stops.undo();
  }
}

async function start(config: Config, environment: AgentEnvironment, stops: StopSteps): Promise<Result<void, StartError>> {
  const { log, version } = environment;
  const monotonicMs = () => performance.now();
  const startedMs = monotonicMs();
  const sinceStart = () => Math.round(monotonicMs() - startedMs);
  const timing = makeStartTiming(log, monotonicMs);
  timing.mark("runtime and config");
  const changed = makeSignal(log);
  const wake = makeSignal(log);

  // Before anything of the folders is touched: a second agent must not remove what the first one's readers look for.
  const locked = lockInstance(config.latchKeyFolder, config.pinFolder, log);
  if (!locked.ok) return err({ kind: "held", message: locked.error });
  const provisioning = makeProvisioning({
    monotonicMs,
    epochMs: Date.now,
    after: runAfter,
    wake: wake.emit,
    finished: makeProvisionedTags(config.latchKeyFolder, log, sinceStart),
  });
  stops.add({ what: "provisioning", run: provisioning.stop, atOnce: true });
  const notify = takeNotify(process.env, process.pid);

  // ---- listening socket: there before anything can be redirected to it, accepting at the end ------------------------
  const door = openDoor(process.env, LISTENER_ADDRESS, LISTENER_PORT);
  if (!door.ok) return err({ kind: "listener", message: door.error });
  const socket = door.value;
  const listenerMessage = `Started proxy listener, ready to accept request - ${sinceStart()}`;
  timing.mark("listener");
  log.info("listener-ready", { address: LISTENER, inherited: socket.inherited, sinceStartMs: sinceStart() });

  // ---- parts: each names only those before it -----------------------------------------------------------------------
  const { executablePath } = environment;
  const opened = await openRedirect(config, { executablePath, socket, log, timing, sinceStart, changed: changed.emit, stops });
  if (!opened.ok) return err({ kind: "capability", message: opened.error });
  const redirect = opened.value;
  const { redirector } = redirect;
  const crowding = makeCrowding({ redirector, waiting: () => countWaiting(socket), log, changed: changed.emit, monotonicMs });
  const accounts = openAccounts();
  const accountsWatch = makeAccountsWatch(accounts.late, log, changed.emit);
  const policy = makePolicyState(config, {
    send: sendOnce,
    compileCommand: environment.compileCommand,
    applyRedirect: redirect.apply,
    ...{ log, monotonicMs, stops },
  });
  const serve = makeServe({
    ...{ socket, redirector, log, monotonicMs, stops },
    cgroupRoot: redirect.cgroupRoot,
    snapshot: policy.snapshot,
    hostDate: policy.hostDate,
    accountOf: accounts.accountOf,
    hashCommand: environment.hashCommand,
    runId: environment.runId,
  });
  const observe = makeObserve(config, {
    ...{ version, log, monotonicMs, stops, listenerMessage, redirect, policy, serve },
    addLogOutput: environment.addLogOutput,
    logLinesDropped: environment.logLinesDropped,
    isReady: provisioning.isReady,
    parts: [
      redirect.statusPart,
      makeExecutablesPart(redirector.unpinnedReason),
      crowding.part,
      accountsWatch.part,
      makeRedirectPart({ snapshot: policy.snapshot, guarded: redirect.guarded }),
    ],
  });
  const feed = makeProvisioningFeed(provisioning, policy, () => observe.status().proxyAgentStatus.ebpfProgramStatus);
  const quietTime = makeQuietTime({ requests: serve.requests, release: releaseIdleMemory, releaseCode: releaseIdleCode });
  const watchdog = makeWatchdog(notify.watchdogMs, listenerMessage, {
    probe: () => probeListener({ address: LISTENER_ADDRESS, port: LISTENER_PORT }, PROBE_MS),
    isLoopStalled: () => policy.stalledMs() > 0,
    alive: () => void notify.send("WATCHDOG=1"),
    changed: changed.emit,
    ...{ log, monotonicMs },
  });

  // ---- who hears what, in this order --------------------------------------------------------------------------------
  changed.subscribe(["status", observe.statusChanged]);
  wake.subscribe(["polling", policy.wake]);
  policy.changed.subscribe(["provisioning", feed.keeperChanged], ["status", observe.statusChanged]);
  policy.polled.subscribe(
    ["metrics", observe.metrics.countPoll],
    ["telemetry", observe.sendTelemetry],
    ["redirect", redirect.afterPoll],
    ["crowding", crowding.look],
    ["accounts", accountsWatch.look],
    ["provisioning", () => (stops.isStopping() ? undefined : feed.settled())],
    ["provisioning", ({ startedMs: askedMs, answered }) => (answered ? provisioning.hostAnswered(askedMs) : undefined)],
    ["watchdog", watchdog.afterPoll],
    ["status", observe.writeDueStatus],
    ["idle memory", quietTime.afterPoll],
  );
  serve.ended.subscribe(
    ...observe.requestEnded,
    // The host takes our signature no more, so the key it wants may be another one: not seen only with the next poll.
    ["polling", ({ status, endorsed }) => (status === 401 && endorsed ? wake.emit() : undefined)],
  );
  serve.headMalformed.subscribe(["metrics", observe.metrics.countMalformedHead]);
  serve.headRefused.subscribe(["refused heads", observe.headRefused]);
  serve.connectionRefused.subscribe(
    ["metrics", observe.metrics.countRefusedConnection],
    ["crowding", ({ owner }) => crowding.refused(owner)],
    ["request lines", ({ owner, direct }) => observe.lines.connectionRefused(owner, direct)],
  );
  serve.unrecorded.subscribe(["metrics", observe.metrics.countUnrecorded]);

  // ---- policy modules: in effect before the first request is decided ------------------------------------------------
  const modules = startModules(config, {
    putInForce: policy.putModulesInForce,
    changed: changed.emit,
    now: () => new Date(),
    ...{ log, monotonicMs },
  });
  stops.add({ what: "modules", run: () => modules[Symbol.dispose]() });
  observe.addStatusPart(modules.statusPart);
  policy.polling.subscribe(["modules", () => void modules.look()]);
  await modules.look();
  timing.mark("modules");

  // ---- polling, then requests ---------------------------------------------------------------------------------------
  const localPorts = { provisioning, status: observe.status };
  const control = startControlService(config, log, localPorts);
  stops.add({ what: "control socket", run: control.stop, undo: control.stop });
  const { promise: firstPoll, resolve: polled } = Promise.withResolvers<void>();
  policy.polled.subscribe(["takeover", () => polled()]);
  policy.start();
  // After a takeover connections wait outside until the host was heard: an answer now would be 503, or worse, no longer true.
  if (redirector.inherited.size > 0) await settledWithin(firstPoll, WARM_START_MS);
  const listening = serve.open({
    answerLocally: makeLocalApp(localPorts),
    namesWanted: (endpoint) => modules.isUsed() || policy.wantsAccountNames(endpoint),
    hashWanted: () => modules.isUsed() || policy.wantsExecutableHash(),
  });
  if (!listening.ok) return err({ kind: "listener", message: listening.error });
  // Before the listener drains: new connections wait for the successor, or go direct from here on.
  stops.add({ what: "redirect", run: redirect.release });

  // ---- ready --------------------------------------------------------------------------------------------------------
  provisioning.setListener(true, listenerMessage);
  feed.settled();
  watchdog.start();
  stops.add({ what: "watchdog", run: watchdog.stop, atOnce: true });
  observe.addStatusPart(watchdog.part);
  notify.send("READY=1", `STATUS=serving on ${LISTENER}`);
  const stopping = () =>
    notify.send("STOPPING=1", redirect.stays() ? "STATUS=stopping, the redirect stays for a successor" : "STATUS=stopping");
  stops.add({ what: "service manager", run: stopping, atOnce: true });
  log.info("agent-ready", { version, sinceStartMs: sinceStart() });
  observe.start();
  return ok(undefined);
}

/** Runs it later without keeping the process up; the function returned cancels it. */
function runAfter(delayMs: number, run: () => void): () => void {
  const timer = setTimeout(run, delayMs);
  timer.unref();
  return () => clearTimeout(timer);
}
