// `azure-proxy-agent release`: takes the redirect off that an agent left in the kernel. Run by systemd when the socket is stopped for
// good, and at removal of the package. Does nothing, successfully, when there is nothing.

import { readFileSync } from "node:fs";
import { releasePins } from "../adapters/ebpf/release.ts";
import { lockFolder } from "../adapters/service/instance-lock.ts";
import { DEFAULT_CONFIG_PATH } from "../adapters/storage/find-config.ts";
import { DEFAULT_PIN_FOLDER, parseConfig, renderConfigError } from "../core/config.ts";
import { err, ok, type Result } from "../core/result.ts";
import { describeError } from "../core/thrown.ts";
import { EXIT } from "../exit-code.ts";

const USAGE = `azure-proxy-agent release [--config FILE] [--after-stop]

Takes off the redirect that a stopped agent left in the kernel for its successor, and unpins everything. Connections go their direct
way afterwards. Refuses while an agent runs: stop it first.

  --config FILE   take the pin folder from this config
  --after-stop    for the unit file: only when systemd stops the service for good, and then its socket, too
`;

const UNIT = "azure-proxy-agent";
const ASK_LIMIT_MS = 5_000;

interface Options {
  readonly configPath: string;
  readonly afterStop: boolean;
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
  if (options.afterStop && !isStoppedForGood()) return EXIT.ok;
  const code = releaseFolder(findPinFolder(options.configPath));
  // Not waited for: systemd runs it after this service is down.
  if (options.afterStop) Bun.spawnSync(["systemctl", "stop", "--no-block", `${UNIT}.socket`], { timeout: ASK_LIMIT_MS });
  return code;
}

function releaseFolder(pinFolder: string): number {
  if (pinFolder === "") return EXIT.ok;
  const lock = lockFolder(pinFolder);
  if (!lock.ok && lock.error.kind === "held") return fail(EXIT.temporary, lock.error.message.replace("cannot start", "cannot release"));
  const released = releasePins(pinFolder);
  if (!released.ok) return fail(EXIT.failed, released.error.message);
  process.stderr.write(`azure-proxy-agent release: ${released.value ? "the redirect is off" : "there was nothing to take off"}\n`);
  return EXIT.ok;
}

function parseOptions(argv: readonly string[]): Options | undefined {
  let configPath = DEFAULT_CONFIG_PATH;
  let afterStop = false;
  for (let i = 0; i < argv.length; i += 1) {
    if (argv[i] === "--after-stop") afterStop = true;
    else if (argv[i] === "--config" && argv[i + 1] !== undefined) configPath = argv[++i] ?? "";
    else return undefined;
  }
  return { configPath, afterStop };
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
function findPinFolder(path: string): string {
  const found = readPinFolder(path);
  if (found.ok) return found.value;
  process.stderr.write(`azure-proxy-agent release: ${found.error}; taking the default pin folder "${DEFAULT_PIN_FOLDER}"\n`);
  return DEFAULT_PIN_FOLDER;
}

function readPinFolder(path: string): Result<string, string> {
  try {
    const parsed = parseConfig(readFileSync(path, "utf8"), process.env);
    return parsed.ok ? ok(parsed.value.config.pinFolder) : err(renderConfigError(path, parsed.error));
  } catch (error) {
    // Already removed, perhaps.
    return err(`cannot read config "${path}": ${describeError(error)}`);
  }
}

function fail(code: number, message: string): number {
  process.stderr.write(`azure-proxy-agent release: ${message}\n`);
  return code;
}
