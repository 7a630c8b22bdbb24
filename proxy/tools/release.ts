// `azure-proxy-agent release`: takes the redirect off that an agent left in the kernel. Run by systemd when the socket is stopped for
// good, and at removal of the package. Does nothing, successfully, when there is nothing.

import { readFileSync } from "node:fs";
import { findCgroupRoot } from "../adapters/ebpf/cgroup.ts";
import { type ListedSet, listObjects } from "../adapters/ebpf/list-objects.ts";
import { gatherRedirect, type ReleaseOptions, releaseRedirect } from "../adapters/ebpf/release.ts";
import { lockFolder } from "../adapters/service/instance-lock.ts";
import { DEFAULT_CONFIG_PATH } from "../adapters/storage/find-config.ts";
import { type Config, DEFAULT_PIN_FOLDER, parseConfig, renderConfigError } from "../core/config.ts";
import { LISTENER_PORT } from "../core/request/listener-address.ts";
import { err, ok, type Result } from "../core/result.ts";
import { escapeForTerminal } from "../core/text/terminal-text.ts";
import { EXIT } from "../exit-code.ts";

const USAGE = `azure-proxy-agent release [--list] [--config FILE] [--after-stop]

Takes off the redirect that a stopped agent left in the kernel for its successor, wherever it is pinned and whatever holds it, and
unpins everything. Connections go their direct way afterwards. Refuses while an agent runs: stop it first. Fails when the kernel does
not show that the redirect is off.

  --list          change nothing; show every eBPF program, link, map and pin of this product, its cgroup, and since when it is loaded
  --config FILE   take the pin folder from this config
  --after-stop    for the unit file: only when systemd stops the service for good, and then its socket, too
`;

const UNIT = "azure-proxy-agent";
const ASK_LIMIT_MS = 5_000;

interface Options {
  readonly configPath: string;
  readonly afterStop: boolean;
  readonly list: boolean;
}

export function release(argv: readonly string[]): number {
  if (argv[0] === "--help" || argv[0] === "-h") {
    process.stdout.write(USAGE);
    return EXIT.ok;
  }
  const options = parseOptions(argv);
  if (options === undefined) {
    process.stderr.write(`azure-proxy-agent release: wrong arguments\n\n${USAGE}`);
    return EXIT.usage;
  }
  if (process.geteuid?.() !== 0) return fail(EXIT.capability, "only root can take the redirect off");
  const place = findPlace(options.configPath);
  if (options.list) return list(place.cgroupPath);
  if (options.afterStop && !isStoppedForGood()) return gather(place);
  const code = releaseAll(place);
  // Not waited for: systemd runs it after this service is down.
  if (options.afterStop) Bun.spawnSync(["systemctl", "stop", "--no-block", `${UNIT}.socket`], { timeout: ASK_LIMIT_MS });
  return code;
}

function releaseAll(place: ReleaseOptions): number {
  const { pinFolder } = place;
  const lock = pinFolder === "" ? undefined : lockFolder(pinFolder);
  if (lock?.ok === false && lock.error.kind === "held")
    return fail(EXIT.temporary, lock.error.message.replace("cannot start", "cannot release"));
  const released = releaseRedirect(place);
  if (!released.ok) return fail(EXIT.failed, released.error.message);
  process.stderr.write(`azure-proxy-agent release: ${released.value ? "the redirect is off" : "there was nothing to take off"}\n`);
  return EXIT.ok;
}

/** Another agent comes: what an earlier config left elsewhere is put where that one looks. It has no right to list what the kernel has. */
function gather(place: ReleaseOptions): number {
  const gathered = gatherRedirect(place);
  if (!gathered.ok) return fail(EXIT.failed, gathered.error.message);
  if (gathered.value)
    process.stderr.write(`azure-proxy-agent release: found a redirect outside of "${place.pinFolder}"; the next agent takes it over\n`);
  return EXIT.ok;
}

function list(cgroupPath: string | undefined): number {
  const listed = listObjects(cgroupPath);
  if (!listed.ok) return fail(EXIT.failed, listed.error.message);
  process.stdout.write(`${renderObjects(listed.value).map(escapeForTerminal).join("\n")}\n`);
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

function parseOptions(argv: readonly string[]): Options | undefined {
  let configPath = DEFAULT_CONFIG_PATH;
  let afterStop = false;
  let list = false;
  for (let i = 0; i < argv.length; i += 1) {
    if (argv[i] === "--after-stop") afterStop = true;
    else if (argv[i] === "--list") list = true;
    else if (argv[i] === "--config" && argv[i + 1] !== undefined) configPath = argv[++i] ?? "";
    else return undefined;
  }
  return { configPath, afterStop, list };
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
function findPlace(path: string): ReleaseOptions {
  const root = findCgroupRoot();
  const found = readConfig(path);
  if (!found.ok) process.stderr.write(`azure-proxy-agent release: ${found.error}; taking the default pin folder "${DEFAULT_PIN_FOLDER}"\n`);
  return {
    pinFolder: found.ok ? found.value.pinFolder : DEFAULT_PIN_FOLDER,
    cgroupPath: (found.ok ? found.value.cgroupRoot : undefined) ?? (root.ok ? root.value : undefined),
    listenerPort: LISTENER_PORT,
  };
}

function readConfig(path: string): Result<Config, string> {
  try {
    const parsed = parseConfig(readFileSync(path, "utf8"), process.env);
    return parsed.ok ? ok(parsed.value.config) : err(renderConfigError(path, parsed.error));
  } catch (error) {
    // Already removed, perhaps.
    return err(`cannot read config "${path}": ${error instanceof Error ? error.message : String(error)}`);
  }
}

function fail(code: number, message: string): number {
  process.stderr.write(`azure-proxy-agent release: ${message}\n`);
  return code;
}
