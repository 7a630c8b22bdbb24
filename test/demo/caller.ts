// Programs that know nothing of the agent: how they are started, as whom, and what their answer was.

import { realpathSync } from "node:fs";
import type { Subprocess } from "bun";
import type { Ids } from "../support/world.ts";

const LIMIT_MS = 15_000;
/** The system's own programs: others may lie where only root can start them. */
const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

export interface Who {
  /** As a shell prompt would show it. */
  readonly prompt: string;
  /** Undefined: stays root. */
  readonly ids: Ids | undefined;
}

export const ROOT: Who = { prompt: "root#", ids: undefined };
export const NOBODY: Who = { prompt: "nobody$", ids: { uid: 65534, gid: 65534 } };

/** The file that runs when somebody types `curl`: what a rule's exePath has to name. */
export const CURL = programPath("curl");

export interface Program {
  readonly who: Who;
  /** Shown to the reader and run as it is; `curl` and `python3` are looked up. */
  readonly command: readonly string[];
  /** Acts while the program runs; its standard input stays open until this is over. */
  readonly meanwhile?: (child: Child) => Promise<void>;
}

export type Child = Subprocess<"pipe", "pipe", "pipe">;

export interface Finished {
  readonly pid: number;
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Status of the HTTP answer that the program printed; 0 when it printed none. */
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: string;
}

/** curl as people write it for IMDS; prints the answer's head too. */
export function curl(url: string, ...more: readonly string[]): readonly string[] {
  return ["curl", "-si", "-H", "Metadata: true", ...more, url];
}

/** A script for Python; the reader is shown its lines beside it. */
export function python(lines: readonly string[]): readonly string[] {
  return ["python3", "-c", lines.join("\n")];
}

export async function run({ who, command, meanwhile }: Program): Promise<Finished> {
  const ids = who.ids === undefined ? [] : ["setpriv", `--reuid=${who.ids.uid}`, `--regid=${who.ids.gid}`, "--clear-groups", "--"];
  const child = Bun.spawn([...ids, ...command], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    cwd: "/",
    timeout: LIMIT_MS,
    // No proxy and no user's curl settings: what is run is what is shown.
    env: { PATH, HOME: "/" },
  });
  const reading = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  await meanwhile?.(child);
  child.stdin.end();
  const [stdout, stderr, exitCode] = await reading;
  if (child.signalCode !== null) throw new Error(`"${command[0]}" was ended by ${child.signalCode}: ${stderr}`);
  return { pid: child.pid, exitCode, stdout, stderr, ...readAnswer(stdout) };
}

/** Finds the head that curl -i or one of our scripts printed. */
function readAnswer(stdout: string): Pick<Finished, "status" | "retryAfter" | "body"> {
  const text = stdout.replaceAll("\r\n", "\n");
  const start = text.search(/^HTTP\/1\.[01] /m);
  if (start < 0) return { status: 0, retryAfter: undefined, body: "" };
  const end = text.indexOf("\n\n", start);
  const head = text.slice(start, end < 0 ? undefined : end);
  return {
    status: Number(head.slice("HTTP/1.1 ".length, "HTTP/1.1 200".length)),
    retryAfter: /^retry-after: *(.*)$/im.exec(head)?.[1],
    body: end < 0 ? "" : text.slice(end + 2),
  };
}

function programPath(name: string): string {
  const found = Bun.which(name, { PATH });
  if (found === null) throw new Error(`cannot find program "${name}"; install the package ${name}`);
  return realpathSync(found);
}
