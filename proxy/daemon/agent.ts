// Puts the agent together and runs it: the door first, then the redirect programs, then the key, then the door is opened; down in the
// opposite order.
// Nothing here decides about a request; handle-request.ts does.

import { uptime } from "node:os";
import { dirname, join } from "node:path";
import { findCgroupRoot } from "../adapters/ebpf/cgroup.ts";
import { makeKeyApi } from "../adapters/host/key-api.ts";
import { DEFAULT_HTTP_LIMITS } from "../adapters/http/limits.ts";
import { type Listener, startListener } from "../adapters/http/listener.ts";
import { probeListener } from "../adapters/http/probe.ts";
import { sendOnce } from "../adapters/http/send-once.ts";
import { makeLocalApp } from "../adapters/local/app.ts";
import type { LogOutput } from "../adapters/log/lines.ts";
import { releaseIdleCode, releaseIdleMemory } from "../adapters/native/idle-memory.ts";
import { makeIdentify, openAccounts } from "../adapters/proc/identify.ts";
import { countWaiting, settleListening } from "../adapters/service/listening-socket.ts";
import { takeNotify } from "../adapters/service/notify.ts";
import { makeRuleFolder, readRuleFile } from "../adapters/storage/rule-file.ts";
import { STATUS_FILE_NAME, writeStatusFile } from "../adapters/storage/status-file.ts";
import type { LatchedKey, SecureChannel } from "../core/channel/secure-channel.ts";
import type { Config } from "../core/config.ts";
import type { Log, RedirectCounters, Redirector } from "../core/ports.ts";
import { ENDPOINTS } from "../core/request/endpoint.ts";
import { LISTENER_ADDRESS, LISTENER_PORT } from "../core/request/listener-address.ts";
import { err, ok, type Result } from "../core/result.ts";
import { startControlService } from "./life/control-service.ts";
import { makeProvisionedTags } from "./life/provisioned-tags.ts";
import { makeProvisioning } from "./life/provisioning.ts";
import { makeProvisioningFeed } from "./life/provisioning-feed.ts";
import { makeQuietTime } from "./life/quiet-time.ts";
import { startWatchdog, type Watchdog } from "./life/watchdog.ts";
import { startModules } from "./modules/module-runtime.ts";
import { makeAccountsWatch } from "./observe/accounts-watch.ts";
import { makeConnectionSummaries } from "./observe/connection-summary.ts";
import { makeDecisionTrail } from "./observe/decision-trail.ts";
import { makeDenialCounter } from "./observe/denial-counter.ts";
import { makeHostContactPart } from "./observe/host-contact.ts";
import { makeMetricsService } from "./observe/metrics-service.ts";
import { makeRefusedHeads } from "./observe/refused-heads.ts";
import { makeRequestLines } from "./observe/request-lines.ts";
import { makeStatusParts } from "./observe/status-parts.ts";
import { buildStatus, OWN_DETAILS } from "./observe/status-reporter.ts";
import { makeStatusWriter } from "./observe/status-writer.ts";
import { makeTelemetryService } from "./observe/telemetry-service.ts";
import { makeComposeRules } from "./policy/compose-rules.ts";
import { wantsAccountNames, wantsExecutableHash } from "./policy/guards.ts";
import { makeKeyFolder } from "./policy/key-folder.ts";
import { makeKeyKeeper } from "./policy/key-keeper.ts";
import { makePollLoop } from "./policy/poll-loop.ts";
import { makePrepareRules } from "./policy/prepare-rules.ts";
import { makeExecutablesPart } from "./redirect/executables-part.ts";
import { makeKernelCheck } from "./redirect/kernel-check.ts";
import { openKernelRedirector } from "./redirect/kernel-redirector.ts";
import { makeRedirectSwitch } from "./redirect/redirect.ts";
import { makeRedirectPart } from "./redirect/redirect-check.ts";
import { letGo, lockInstance, openDoor, settledWithin, staysForSuccessor, WARM_START_MS } from "./redirect/takeover.ts";
import { type ConnectionAdmission, makeAdmission } from "./request/admission.ts";
import { makeCrowding } from "./request/crowding.ts";
import { handleRequest } from "./request/handle-request.ts";
import { makeRequestObservers } from "./request/request-observers.ts";
import { makeStartTiming } from "./start-timing.ts";
import { runStopSteps } from "./stop-steps.ts";

/** While the agent is young and nothing is settled yet, the host is asked every second. */
const YOUNG_MS = 300_000;
const EAGER_POLL_MS = 1_000;
const STOP_GRACE_MS = 5_000;
const DIRECT_CONNECTIONS_PER_USER = 64;
const PROBE_MS = 10_000;

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

export async function startAgent(config: Config, environment: AgentEnvironment): Promise<Result<RunningAgent, StartError>> {
  const { log } = environment;
  const monotonicMs = () => performance.now();
  const startedMs = monotonicMs();
  const sinceStart = () => Math.round(monotonicMs() - startedMs);
  const timing = makeStartTiming(log, monotonicMs);
  timing.mark("runtime and config");
  // Before anything of the folders is touched: a second agent must not remove what the first one's readers look for.
  const locked = lockInstance(config.latchKeyFolder, config.pinFolder, log);
  if (!locked.ok) return err({ kind: "held", message: locked.error });
  const provisioning = makeProvisioning({
    monotonicMs,
    epochMs: Date.now,
    after: runAfter,
    wake: () => loop.wake(),
    finished: makeProvisionedTags(config.latchKeyFolder, log, sinceStart),
  });
  const summaries = makeConnectionSummaries(Date.now);
  const denials = makeDenialCounter(() => new Date());
  const statusParts = makeStatusParts(OWN_DETAILS);
  const lines = makeRequestLines(log, monotonicMs);
  const notify = takeNotify(process.env, process.pid);
  const { promise: firstPoll, resolve: polled } = Promise.withResolvers<void>();
  let listener: Listener | undefined;
  let admission: ConnectionAdmission | undefined;
  let requests = 0;
  let stopping = false;
  let watchdog: Watchdog | undefined;
  const metrics = makeMetricsService(config, log, {
    versions: { version: environment.version, bun: Bun.version },
    snapshot: () => keeper.snapshot(),
    keeper: () => keeper.report(),
    guarded: () => redirect.guarded(),
    counters: () => readCounters(redirector),
    connections: () => listener?.connectionCount ?? 0,
    evicted: () => admission?.shares.evicted() ?? 0,
    logLinesDropped: environment.logLinesDropped,
    trail: () => trail.counts(),
  });
  const trail = makeDecisionTrail(config, log, environment.version);
  statusParts.add(trail.statusPart);

  // ---- the door: there before anything can be redirected to it, opened at the end ----------------------------------
  const door = openDoor(process.env, LISTENER_ADDRESS, LISTENER_PORT);
  if (!door.ok) return err({ kind: "listener", message: door.error });
  const socket = door.value;
  const listenerMessage = `Started proxy listener, ready to accept request - ${sinceStart()}`;
  timing.mark("listener");
  log.info("listener-ready", { address: `${LISTENER_ADDRESS}:${LISTENER_PORT}`, inherited: socket.inherited, sinceStartMs: sinceStart() });

  // ---- redirect programs: in effect, guarding what an earlier agent guarded ----------------------------------------
  const cgroupRoot = findCgroupRoot();
  const opened = openKernelRedirector(
    config,
    config.cgroupRoot === undefined ? cgroupRoot : ok(config.cgroupRoot),
    environment.executablePath,
    LISTENER_PORT,
  );
  if (!opened.ok) return err({ kind: "capability", message: opened.error });
  const redirector = opened.value;
  const redirectorMessage = `Started Redirector with eBPF maps - ${sinceStart()}`;
  // What a full backlog keeps from being proven is no reason not to start: somebody's flood would keep us out.
  const proven = await redirector.provesListener();
  if (!proven.ok && proven.error.errno === undefined) {
    redirector.leave();
    return err({ kind: "capability", message: proven.error.message });
  }
  timing.mark("programs");
  log.info("redirector-ready", { takeover: redirector.takeover, sinceStartMs: sinceStart() });
  if (redirector.unpinnedReason !== undefined) log.warn("executables-not-pinned", { message: redirector.unpinnedReason });

  // ---- key keeper ---------------------------------------------------------------------------------------------------
  const statusChanged = () => statusWriter.changed();
  const redirect = makeRedirectSwitch(redirector, log, statusChanged, redirector.inherited);
  const check = makeKernelCheck(redirector, redirect.guardedSet, config.pinFolder, redirectorMessage, log, statusChanged);
  statusParts.add(check.part);
  statusParts.add(makeExecutablesPart(redirector.unpinnedReason));
  const crowding = makeCrowding({ redirector, waiting: () => countWaiting(socket), log, changed: statusChanged, monotonicMs });
  statusParts.add(crowding.part);
  const accounts = openAccounts();
  const accountsWatch = makeAccountsWatch(accounts.late, log, statusChanged);
  statusParts.add(accountsWatch.part);
  const ruleFolder = join(dirname(config.latchKeyFolder), "rules");
  makeRuleFolder(ruleFolder);
  const keyApi = makeKeyApi(sendOnce, () => keeper.hostDate());
  const keeper = makeKeyKeeper({
    ...keyApi,
    ...makeKeyFolder(config.latchKeyFolder),
    composeRules: makeComposeRules(ruleFolder, (name) => readRuleFile(ruleFolder, name, 0)),
    prepareRules: makePrepareRules(config.statusFolder, environment.compileCommand, log),
    // A poll that is still under way when the agent stops must not guard anything again.
    applyRedirect: (wanted, keyReady) => {
      if (stopping) return;
      timing.mark("host, rules and key");
      redirect.apply(wanted, keyReady);
      if (ENDPOINTS.every((endpoint) => redirect.guarded()[endpoint] === wanted[endpoint])) timing.done("redirect");
    },
    changed: () => {
      feed.keeperChanged();
      statusChanged();
    },
    log,
    localNowMs: Date.now,
    monotonicMs,
  });

  statusParts.add(makeRedirectPart({ snapshot: keeper.snapshot, guarded: redirect.guarded }));
  statusParts.add(makeHostContactPart({ keeper: keeper.report, localNowMs: Date.now, monotonicMs }));

  // ---- status -------------------------------------------------------------------------------------------------------
  const currentStatus = () =>
    buildStatus({
      version: environment.version,
      now: () => new Date(),
      monotonicMs,
      snapshot: keeper.snapshot,
      keeper: keeper.report,
      stalledMs: () => loop.stalledMs(),
      redirector: () => ({ running: !stopping, message: redirectorMessage, pinsExecutable: redirector.pinsExecutable }),
      listener: () => ({ running: listener !== undefined && !stopping, message: listenerMessage }),
      guarded: redirect.guarded,
      counters: () => readCounters(redirector),
      requests: () => requests,
      summaries: () => ({ all: summaries.all(), failed: summaries.failed() }),
      denials: () => ({ wouldDeny: denials.wouldDeny(), denied: denials.denied() }),
      parts: statusParts.read,
      statusPath: join(config.statusFolder, STATUS_FILE_NAME),
      writeFailure: () => statusWriter.failure(),
    });
  const telemetry = makeTelemetryService(config, {
    send: sendOnce,
    hostDate: keeper.hostDate,
    addLogOutput: environment.addLogOutput,
    log,
    version: environment.version,
    monotonicMs,
    key: () => latchedKey(keeper.snapshot().channel),
    ready: provisioning.isReady,
    status: () => currentStatus().proxyAgentStatus,
  });
  if (telemetry !== undefined) statusParts.add(telemetry.part);
  const statusWriter = makeStatusWriter({
    current: currentStatus,
    write: (status) => writeStatusFile(config.statusFolder, status),
    eachTime: () => telemetry?.tick(),
    log,
    monotonicMs,
  });
  const feed = makeProvisioningFeed(
    provisioning,
    () => keeper,
    () => currentStatus().proxyAgentStatus.ebpfProgramStatus,
  );

  // ---- policy modules: in force before the first request is decided --------------------------------------------------
  const modules = startModules(config, {
    putInForce: keeper.putModulesInForce,
    changed: statusChanged,
    log,
    monotonicMs,
    now: () => new Date(),
  });
  statusParts.add(modules.statusPart);
  await modules.look();
  timing.mark("modules");

  // ---- polling ------------------------------------------------------------------------------------------------------
  const quietTime = makeQuietTime({ requests: () => requests, release: releaseIdleMemory, releaseCode: releaseIdleCode });
  const loop = makePollLoop({
    async poll(startedMs) {
      void modules.look();
      await keeper.poll();
      metrics.countPoll();
      telemetry?.tick();
      if (!stopping) check.run();
      crowding.look();
      accountsWatch.look();
      polled();
      if (!stopping) feed.settled();
      if ((keeper.report().lastContactMs ?? startedMs) > startedMs) provisioning.hostAnswered(startedMs);
      watchdog?.afterPoll();
      statusWriter.afterPoll();
      quietTime.afterPoll();
    },
    intervalMs: () => {
      const eager = !keeper.report().healthy && monotonicMs() - startedMs < YOUNG_MS;
      return eager ? EAGER_POLL_MS : config.pollKeyStatusIntervalSeconds * 1000;
    },
    monotonicMs,
  });

  // ---- requests -----------------------------------------------------------------------------------------------------
  const localPorts = { provisioning, status: currentStatus };
  const answerLocally = makeLocalApp(localPorts);
  const control = startControlService(config, log, localPorts);
  const ended = makeRequestObservers(
    [
      ["decision trail", trail.append],
      ["connection summaries", summaries.count],
      ["denials", denials.count],
      ["metrics", metrics.countRequest],
      ["request lines", lines.ended],
      // The host takes our signature no more, so the key it wants may be another one: not seen only with the next poll.
      ["polling", ({ status, endorsed }) => (status === 401 && endorsed ? loop.wake() : undefined)],
    ],
    log,
  );
  const requestPorts = {
    snapshot: keeper.snapshot,
    hostDate: keeper.hostDate,
    nextRequestId: () => `${environment.runId}-${++requests}`,
    monotonicMs,
    readClock: () => ({ uptimeSeconds: Math.floor(uptime()), unixSeconds: Math.floor(Date.now() / 1000) }),
    answerLocally: (exchange: Parameters<typeof handleRequest>[0], caller: Parameters<typeof answerLocally>[1]) =>
      answerLocally(exchange.head, caller),
    ended,
  };
  // After a takeover connections wait outside until the host was heard: an answer now would be 503, or worse, no longer true.
  loop.start();
  if (redirector.inherited.size > 0) await settledWithin(firstPoll, WARM_START_MS);
  const listening = startListener({
    hostname: LISTENER_ADDRESS,
    port: LISTENER_PORT,
    descriptor: socket.descriptor,
    limits: DEFAULT_HTTP_LIMITS,
    accept: (connection, held) => admission?.admit(connection, held) ?? { kind: "refuse" },
    onRefusal: metrics.countMalformedHead,
    onError: (where, error) =>
      log.error("internal-error", { where, message: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  });
  if (!listening.ok) {
    stopping = true;
    loop.stop();
    redirector.leave();
    return err({ kind: "listener", message: listening.error.message });
  }
  listener = listening.value;
  for (const message of settleListening(socket)) log.warn("listener-not-settled", { message });
  // In the same turn of the loop as the listener: no connection comes in between.
  const { maxConnections } = listening.value;
  admission = makeAdmission({
    redirector,
    identify: makeIdentify({
      kernelProcessId: redirector.kernelProcessId,
      // Paths of callers count from the root of the whole hierarchy, also when the programs are attached further down.
      ...(cgroupRoot.ok ? { cgroupRoot: cgroupRoot.value } : {}),
      unpinnedReason: redirector.unpinnedReason,
      accountOf: accounts.accountOf,
      namesWanted: (endpoint) => modules.isUsed() || wantsAccountNames(keeper.snapshot().guards, endpoint),
      executableHash: {
        wanted: () => modules.isUsed() || wantsExecutableHash(keeper.snapshot().guards),
        command: environment.hashCommand,
      },
    }),
    handle: (exchange, lookup) => handleRequest(exchange, lookup, requestPorts),
    headRefused: makeRefusedHeads({
      snapshot: keeper.snapshot,
      line: lines.headRefused,
      summary: summaries.count,
      denial: denials.count,
    }),
    refused: (owner, direct) => {
      metrics.countRefusedConnection();
      crowding.refused(owner);
      lines.connectionRefused(owner, direct);
    },
    unrecorded: metrics.countUnrecorded,
    limits: {
      places: maxConnections,
      rootReserve: Math.floor(maxConnections / 8),
      perUser: Math.floor(maxConnections / 4),
      directPerUser: DIRECT_CONNECTIONS_PER_USER,
    },
    monotonicMs,
  });

  provisioning.setListener(true, listenerMessage);
  feed.settled();
  watchdog = startWatchdog(notify.watchdogMs, listenerMessage, {
    probe: () => probeListener({ address: LISTENER_ADDRESS, port: LISTENER_PORT }, PROBE_MS),
    isLoopStalled: () => loop.stalledMs() > 0,
    alive: () => void notify.send("WATCHDOG=1"),
    log,
    changed: statusChanged,
    monotonicMs,
  });
  statusParts.add(watchdog.part);
  notify.send("READY=1", `STATUS=serving on ${LISTENER_ADDRESS}:${LISTENER_PORT}`);
  log.info("agent-ready", { version: environment.version, sinceStartMs: sinceStart() });
  const metricsStarted = metrics.start();
  trail.start();

  return ok({
    async stop() {
      if (stopping) return;
      stopping = true;
      loop.stop();
      provisioning.stop();
      watchdog?.stop();
      const stays = staysForSuccessor(socket, redirector.notPinned);
      notify.send("STOPPING=1", stays ? "STATUS=stopping, the redirect stays for a successor" : "STATUS=stopping");
      const telemetryStopped = telemetry?.stop();
      await runStopSteps(
        [
          // New connections wait for the successor, or go their direct way from here on; those that are here are still answered.
          { what: "redirect", run: () => (stays ? undefined : letGo(redirect)) },
          { what: "listener", run: () => listening.value.stop(STOP_GRACE_MS) },
          { what: "control socket", run: () => control.stop() },
          { what: "modules", run: () => modules[Symbol.dispose]() },
          { what: "decision trail", run: () => trail.stop() },
          { what: "metrics", run: () => metricsStarted.then(() => metrics.stop()) },
          { what: "request lines", run: () => lines.settle() },
          { what: "telemetry", run: () => telemetryStopped },
          { what: "status", run: () => statusWriter.stop() },
          { what: "programs", run: () => (stays ? redirector.leave() : redirector[Symbol.dispose]()) },
        ],
        log,
      );
    },
  });
}

/** Runs it later without keeping the process up; the function returned cancels it. */
function runAfter(delayMs: number, run: () => void): () => void {
  const timer = setTimeout(run, delayMs);
  timer.unref();
  return () => clearTimeout(timer);
}

function latchedKey(channel: SecureChannel): LatchedKey | undefined {
  return channel.kind === "latched" ? channel.key : undefined;
}

function readCounters(redirector: Pick<Redirector, "counters">): RedirectCounters | undefined {
  const read = redirector.counters();
  return read.ok ? read.value : undefined;
}
