// `azure-proxy-agent release`: takes the redirect off that an agent left in the kernel. Run by systemd when the socket is stopped for
// good, and at removal of the package. Does nothing, successfully, when there is nothing.

import { releasePins } from "../adapters/ebpf/release.ts";
import { lockFolder } from "../adapters/service/instance-lock.ts";
import { readConfigFile } from "../adapters/storage/config-file.ts";
import { DEFAULT_PIN_FOLDER } from "../core/config.ts";
import { escapeForTerminal } from "../core/text/terminal-text.ts";
import { EXIT } from "../exit-code.ts";
import type { Given } from "./command-line/spec.ts";
import { fail } from "./output.ts";
import type { RELEASE } from "./release-table.ts";

const UNIT = "azure-proxy-agent";
const ASK_LIMIT_MS = 5_000;

export function release({ options }: Given<typeof RELEASE.options>): number {
  const afterStop = options["after-stop"];
  if (process.geteuid?.() !== 0) return fail("capability", "only root can take the redirect off");
  if (afterStop && !isStoppedForGood()) return EXIT.ok;
  const code = releaseFolder(findPinFolder(options.config));
  // Not waited for: systemd runs it after this service is down.
  if (afterStop) Bun.spawnSync(["systemctl", "stop", "--no-block", `${UNIT}.socket`], { timeout: ASK_LIMIT_MS });
  return code;
}

function releaseFolder(pinFolder: string): number {
  if (pinFolder === "") return EXIT.ok;
  const lock = lockFolder(pinFolder);
  if (!lock.ok && lock.error.kind === "held") return fail("temporary", lock.error.message.replace("cannot start", "cannot release"));
  const released = releasePins(pinFolder);
  if (!released.ok) return fail("no", released.error.message);
  process.stderr.write(`azure-proxy-agent: ${released.value ? "the redirect is off" : "there was nothing to take off"}\n`);
  return EXIT.ok;
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
function findPinFolder(named: string | undefined): string {
  const loaded = readConfigFile(named);
  if (loaded.ok) return loaded.value.config.pinFolder;
  // One line, as the journal wants it.
  process.stderr.write(
    `azure-proxy-agent: ${escapeForTerminal(loaded.error.message)}; taking the default pin folder "${DEFAULT_PIN_FOLDER}"\n`,
  );
  return DEFAULT_PIN_FOLDER;
}
