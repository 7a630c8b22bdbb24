// Runs `azure-proxy-agent policy …` and the other commands as processes. When the tests are root, the policy tools are run as nobody:
// none of them needs root.

import { join } from "node:path";

const MAIN = join(import.meta.dir, "../../proxy/main.ts");
const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--"] as const;

/** Empty where the checkout or the runtime lie where only root may look. */
const AS_NOBODY: readonly string[] = process.geteuid?.() === 0 && canNobodyRun() ? NOBODY : [];

/** Whether commands run as somebody who is not root: not so when root has the checkout in a folder of its own. */
export const RUNS_WITHOUT_ROOT = process.geteuid?.() !== 0 || AS_NOBODY.length > 0;

export interface ToolRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface ToolOptions {
  /** Working folder. */
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  /** As whoever runs the tests, root included. */
  readonly asSelf?: boolean;
}

/** @param argv - after `policy` */
export async function runPolicyTool(argv: readonly string[], options: ToolOptions = {}): Promise<ToolRun> {
  return runCommand(["policy", ...argv], options);
}

export async function runCommand(
  argv: readonly string[],
  { cwd = import.meta.dir, input = "", asSelf }: ToolOptions = {},
): Promise<ToolRun> {
  const command = [...(asSelf === true ? [] : AS_NOBODY), process.execPath, MAIN, ...argv];
  const child = Bun.spawn(command, {
    cwd,
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env.PATH ?? "" },
  });
  const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { code, out, err };
}

/** Splits a line as a shell does that knows single quotes and blanks. */
export function splitCommand(line: string): readonly string[] {
  return [...line.matchAll(/(?:'[^']*'|[^\s'])+/g)].map(([word]) => word.replaceAll("'", ""));
}

function canNobodyRun(): boolean {
  const tried = Bun.spawnSync([...NOBODY, process.execPath, MAIN, "--version"], { env: { PATH: process.env.PATH ?? "" } });
  return tried.exitCode === 0;
}
