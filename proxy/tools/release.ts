// `azure-proxy-agent release`: takes the redirect off that an agent left in the kernel. Run by systemd when the socket is stopped for
// good, and at removal of the package. Does nothing, successfully, when there is nothing.

import { findCgroupRoot } from "../adapters/ebpf/cgroup.ts";
import { type ListedSet, listObjects } from "../adapters/ebpf/list-objects.ts";
import { gatherRedirect, type ReleaseOptions, releaseRedirect } from "../adapters/ebpf/release.ts";
import { lockFolder } from "../adapters/service/instance-lock.ts";
import { readConfigFile } from "../adapters/storage/config-file.ts";
import { DEFAULT_PIN_FOLDER } from "../core/config.ts";
import { LISTENER_PORT } from "../core/request/listener-address.ts";
import { escapeForTerminal } from "../core/text/terminal-text.ts";
import { EXIT } from "../exit-code.ts";
import type { Given } from "./command-line/spec.ts";
import { fail, printLines } from "./output.ts";
import type { RELEASE } from "./release-table.ts";

const UNIT = "azure-proxy-agent";
const ASK_LIMIT_MS = 5_000;

export function release({ options }: Given<typeof RELEASE.options>): number {
  const afterStop = options["after-stop"];
  if (process.geteuid?.() !== 0) return fail("capability", "only root can take the redirect off");
  const place = findPlace(options.config);
  if (options.list) return list(place.cgroupPath);
  if (afterStop && !isStoppedForGood()) return gather(place);
  const code = releaseAll(place);
  // Not waited for: systemd runs it after this service is down.
  if (afterStop) Bun.spawnSync(["systemctl", "stop", "--no-block", `${UNIT}.socket`], { timeout: ASK_LIMIT_MS });
  return code;
}

function releaseAll(place: ReleaseOptions): number {
  const { pinFolder } = place;
  const lock = pinFolder === "" ? undefined : lockFolder(pinFolder);
  if (lock?.ok === false && lock.error.kind === "held")
    return fail("temporary", lock.error.message.replace("cannot start", "cannot release"));
  const released = releaseRedirect(place);
  if (!released.ok) return fail("no", released.error.message);
  process.stderr.write(`azure-proxy-agent: ${released.value ? "the redirect is off" : "there was nothing to take off"}\n`);
  return EXIT.ok;
}

/** Another agent comes: what an earlier config left elsewhere is put where that one looks. It has no right to list what the kernel has. */
function gather(place: ReleaseOptions): number {
  const gathered = gatherRedirect(place);
  if (!gathered.ok) return fail("no", gathered.error.message);
  if (gathered.value)
    process.stderr.write(`azure-proxy-agent: found a redirect outside of "${place.pinFolder}"; the next agent takes it over\n`);
  return EXIT.ok;
}

function list(cgroupPath: string | undefined): number {
  const listed = listObjects(cgroupPath);
  if (!listed.ok) return fail("no", listed.error.message);
  printLines(renderObjects(listed.value).map(escapeForTerminal));
  return EXIT.ok;
}

/** @returns one line for each object; the lines of one agent's programs stand together */
export function renderObjects(sets: readonly ListedSet[]): readonly string[] {
  if (sets.length === 0) return ["nothing of azure-proxy-agent is in this kernel"];
  return sets.flatMap(({ programs, maps, pins, listenerPort, isThisNetworkNamespace }) => [
    `redirect to port ${listenerPort ?? "unknown"}${isThisNetworkNamespace === false ? ", of another network namespace" : ""}`,
    ...programs.flatMap(({ name, id, loadedAt, attachments }) => [
      `  program ${id}  ${name}  since ${loadedAt.toISOString()}${attachments.length === 0 ? "  attached to nothing" : ""}`,
      ...attachments.map(({ linkId, cgroup }) => `    ${linkId === undefined ? "without a link" : `link ${linkId}`}  cgroup ${cgroup}`),
    ]),
    ...maps.map(({ name, id }) => `  map ${id}  ${name}`),
    ...pins.map((path) => `  pin ${path}`),
  ]);
}

/** A restart has a job of another kind, and a crash has none. When systemd does not answer, the door stays closed. */
function isStoppedForGood(): boolean {
  const asked = Bun.spawnSync(["systemctl", "list-jobs", "--no-legend", "--plain", `${UNIT}.service`], { timeout: ASK_LIMIT_MS });
  return isStopJob(asked.stdout.toString());
}

/** @param jobs - lines "JOB UNIT TYPE STATE" */
export function isStopJob(jobs: string): boolean {
  return jobs.split("\n").some((line) => {
    const [, unit, type] = line.trim().split(/\s+/);
    return unit === `${UNIT}.service` && type === "stop";
  });
}

/** A config that cannot be used must not keep the redirect in place: then it is the default folder, and said so. */
function findPlace(named: string | undefined): ReleaseOptions {
  const root = findCgroupRoot();
  const loaded = readConfigFile(named);
  // One line, as the journal wants it.
  if (!loaded.ok)
    process.stderr.write(
      `azure-proxy-agent: ${escapeForTerminal(loaded.error.message)}; taking the default pin folder "${DEFAULT_PIN_FOLDER}"\n`,
    );
  return {
    pinFolder: loaded.ok ? loaded.value.config.pinFolder : DEFAULT_PIN_FOLDER,
    cgroupPath: (loaded.ok ? loaded.value.config.cgroupRoot : undefined) ?? (root.ok ? root.value : undefined),
    listenerPort: LISTENER_PORT,
  };
}
