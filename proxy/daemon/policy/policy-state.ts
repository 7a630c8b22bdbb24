// What requests are decided and signed by, and the loop that keeps it as the host says: the key keeper with its calls to the host, its
// keys on disk and the rules compiled, polled at an interval and sooner when somebody wants to know. Must not know who listens to it.

import { dirname, join } from "node:path";
import { makeKeyApi } from "../../adapters/host/key-api.ts";
import { makeRuleFolder, readRuleFile } from "../../adapters/storage/rule-file.ts";
import type { Config } from "../../core/config.ts";
import type { Log, SendToHost } from "../../core/ports.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { makeSignal, type Signal } from "../signals.ts";
import type { StopSteps } from "../stop-steps.ts";
import { makeComposeRules } from "./compose-rules.ts";
import { wantsAccountNames, wantsExecutableHash } from "./guards.ts";
import { makeKeyFolder } from "./key-folder.ts";
import { type KeeperPorts, type KeyKeeper, makeKeyKeeper } from "./key-keeper.ts";
import { makePollLoop } from "./poll-loop.ts";
import { makePrepareRules } from "./prepare-rules.ts";

/** While the agent is young and nothing is settled yet, the host is asked every second. */
const YOUNG_MS = 300_000;
const EAGER_POLL_MS = 1_000;

export interface PolicyPorts {
  readonly send: SendToHost;
  /** Starts the process that compiles a large rule set; an endpoint's name is added. */
  readonly compileCommand: readonly string[];
  readonly applyRedirect: KeeperPorts["applyRedirect"];
  readonly log: Log;
  readonly monotonicMs: () => number;
  readonly stops: StopSteps;
}

export interface Polled {
  /** Monotonic ms. */
  readonly startedMs: number;
  /** The host answered a question of this poll. */
  readonly answered: boolean;
}

export interface PolicyState extends Pick<KeyKeeper, "snapshot" | "report" | "hostDate" | "putModulesInForce"> {
  /** Rules, key or what the host says are others than before, perhaps in the midst of a poll. */
  readonly changed: Pick<Signal, "subscribe">;
  /** A poll begins. */
  readonly polling: Pick<Signal, "subscribe">;
  /** Rules, key and redirect are as they will be until the next poll. */
  readonly polled: Pick<Signal<Polled>, "subscribe">;
  /** Rules in effect name executables by their content. */
  wantsExecutableHash(): boolean;
  /** Rules in effect for the endpoint name accounts or groups. */
  wantsAccountNames(endpoint: Endpoint): boolean;
  /** How long the loop has not turned although it should; 0 while it turns. */
  stalledMs(): number;
  /** Has the host polled soon, however often it is called. */
  wake(): void;
  /** The first poll begins now. */
  start(): void;
}

/** Makes the folder of local rules; asks nobody before {@link PolicyState.start}. */
export function makePolicyState(config: Config, ports: PolicyPorts): PolicyState {
  const { log, monotonicMs, stops } = ports;
  const madeMs = monotonicMs();
  const changed = makeSignal(log);
  const polling = makeSignal(log);
  const polled = makeSignal<Polled>(log);
  const ruleFolder = join(dirname(config.latchKeyFolder), "rules");
  makeRuleFolder(ruleFolder);
  const keyApi = makeKeyApi(ports.send, () => keeper.hostDate());
  const keeper: KeyKeeper = makeKeyKeeper({
    ...keyApi,
    ...makeKeyFolder(config.latchKeyFolder),
    composeRules: makeComposeRules(ruleFolder, (name) => readRuleFile(ruleFolder, name, 0)),
    prepareRules: makePrepareRules(config.statusFolder, ports.compileCommand, log),
    applyRedirect: ports.applyRedirect,
    changed: changed.emit,
    log,
    localNowMs: Date.now,
    monotonicMs,
  });
  const loop = makePollLoop({
    async poll(startedMs) {
      polling.emit();
      await keeper.poll();
      polled.emit({ startedMs, answered: (keeper.report().lastContactMs ?? startedMs) > startedMs });
    },
    intervalMs: () => {
      const eager = !keeper.report().healthy && monotonicMs() - madeMs < YOUNG_MS;
      return eager ? EAGER_POLL_MS : config.pollKeyStatusIntervalSeconds * 1000;
    },
    monotonicMs,
  });

  return {
    snapshot: keeper.snapshot,
    report: keeper.report,
    hostDate: keeper.hostDate,
    putModulesInForce: keeper.putModulesInForce,
    changed,
    polling,
    polled,
    wantsExecutableHash: () => wantsExecutableHash(keeper.snapshot().guards),
    wantsAccountNames: (endpoint) => wantsAccountNames(keeper.snapshot().guards, endpoint),
    stalledMs: loop.stalledMs,
    wake: loop.wake,
    start() {
      stops.add({ what: "polling", run: loop.stop, atOnce: true, undo: loop.stop });
      loop.start();
    },
  };
}
