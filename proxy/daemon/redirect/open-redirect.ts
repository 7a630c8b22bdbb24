// Opens the redirect: programs loaded and in effect, guarding what an earlier agent guarded, and proven to see what the listening socket
// accepts. From then on it follows what the modes want, is checked after each poll, and is taken off or left to a successor at the end.

import { findCgroupRoot } from "../../adapters/ebpf/cgroup.ts";
import type { AttachedRedirector } from "../../adapters/ebpf/redirector.ts";
import type { OpenSocket } from "../../adapters/service/listening-socket.ts";
import type { Config } from "../../core/config.ts";
import type { Log, RedirectCounters } from "../../core/ports.ts";
import { ENDPOINTS, type Endpoint } from "../../core/request/endpoint.ts";
import { LISTENER_PORT } from "../../core/request/listener-address.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { StatusPart } from "../../core/status/status-part.ts";
import type { StartTiming } from "../start-timing.ts";
import type { StopSteps } from "../stop-steps.ts";
import { makeKernelCheck } from "./kernel-check.ts";
import { openKernelRedirector } from "./kernel-redirector.ts";
import { makeRedirectSwitch } from "./redirect.ts";
import { letGo, staysForSuccessor } from "./takeover.ts";

export interface RedirectPorts {
  readonly executablePath: string;
  /** Where redirected connections arrive. */
  readonly socket: OpenSocket;
  readonly log: Log;
  readonly timing: StartTiming;
  /** Whole milliseconds. */
  readonly sinceStart: () => number;
  readonly changed: () => void;
  readonly stops: StopSteps;
}

export interface OpenRedirect {
  /** For connections that arrive: their records, and the shares of users in the kernel. */
  readonly redirector: AttachedRedirector;
  /** Mount point of the whole cgroup hierarchy, also when the programs are attached further down; undefined when it was not found. */
  readonly cgroupRoot: string | undefined;
  readonly statusPart: StatusPart;
  state(): { readonly running: boolean; readonly message: string; readonly pinsExecutable: boolean };
  /** Follows the modes; without a key nothing more is redirected. Does nothing once the agent stops. */
  apply(wanted: Readonly<Record<Endpoint, boolean>>, keyReady: boolean): void;
  guarded(): Readonly<Record<Endpoint, boolean>>;
  /** Undefined while the kernel's counters cannot be read. */
  counters(): RedirectCounters | undefined;
  /** Checks and repairs what is in the kernel. */
  afterPoll(): void;
  /** Whether the end of this agent leaves the redirect to the next one. */
  stays(): boolean;
  /** Before the listener closes: where no successor takes over, new connections go direct. */
  release(): Promise<void>;
}

/** On failure nothing of this agent is in effect any more, once the steps are undone, and what an earlier one left stays. */
export async function openRedirect(config: Config, ports: RedirectPorts): Promise<Result<OpenRedirect, string>> {
  const { log, timing, socket, stops } = ports;
  const hierarchy = findCgroupRoot();
  const attachAt = config.cgroupRoot === undefined ? hierarchy : ok(config.cgroupRoot);
  const opened = openKernelRedirector(config, attachAt, ports.executablePath, LISTENER_PORT);
  if (!opened.ok) return opened;
  const redirector = opened.value;
  const stays = () => staysForSuccessor(socket, redirector.notPinned);
  stops.add({
    what: "programs",
    run: () => (stays() ? redirector.leave() : redirector[Symbol.dispose]()),
    undo: () => redirector.leave(),
  });
  const message = `Started Redirector with eBPF maps - ${ports.sinceStart()}`;
  // What a full backlog keeps from being proven is no reason not to start: somebody's flood would keep us out.
  const proven = await redirector.provesListener();
  if (!proven.ok && proven.error.errno === undefined) return err(proven.error.message);
  timing.mark("programs");
  log.info("redirector-ready", { takeover: redirector.takeover, sinceStartMs: ports.sinceStart() });
  if (redirector.unpinnedReason !== undefined) log.warn("executables-not-pinned", { message: redirector.unpinnedReason });

  const redirect = makeRedirectSwitch(redirector, log, ports.changed, redirector.inherited);
  const check = makeKernelCheck(redirector, redirect.guardedSet, config.pinFolder, message, log, ports.changed);
  return ok({
    redirector,
    cgroupRoot: hierarchy.ok ? hierarchy.value : undefined,
    statusPart: check.part,
    state: () => ({ running: !stops.isStopping(), message, pinsExecutable: redirector.pinsExecutable }),
    apply(wanted, keyReady) {
      // A poll that is still under way when the agent stops must not guard anything again.
      if (stops.isStopping()) return;
      timing.mark("host, rules and key");
      redirect.apply(wanted, keyReady);
      const guarded = redirect.guarded();
      if (ENDPOINTS.every((endpoint) => guarded[endpoint] === wanted[endpoint])) timing.done("redirect");
    },
    guarded: redirect.guarded,
    counters() {
      const read = redirector.counters();
      return read.ok ? read.value : undefined;
    },
    afterPoll() {
      if (!stops.isStopping()) check.run();
    },
    stays,
    async release() {
      if (!stays()) await letGo(redirect);
    },
  });
}
