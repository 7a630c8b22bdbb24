// A VM under attack: host and agent as the unit starts it, metrics to count with, and root's requests as the platform's agents make
// them, to see whether anybody else can keep root from being served.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { HelperPrograms } from "./helper-program.ts";
import { parseExposition, type ReadSample } from "./metrics.ts";
import { ServiceManager } from "./service-manager.ts";
import { runAgentCommand, type StatusRun } from "./status-command.ts";
import { startAsUnit } from "./unit-agent.ts";
import { curl, IMDS_INSTANCE, World, type WorldOptions } from "./world.ts";

export const IMDS = "169.254.169.254:80";
export const LISTENER = "127.0.0.1:3080";
export const NOBODY = 65_534;
export const VERSIONS = "http://168.63.129.16/?comp=versions";
/** Whether root is served is the question here, not how fast. */
const ROOT_LIMIT_S = 90;
/** The first of ids without an account, as containers and dynamic users have them. */
export const FIRST_USER = 100_000;

export class AttackedWorld implements AsyncDisposable {
  readonly world: World;
  readonly helpers: HelperPrograms;
  readonly manager: ServiceManager;
  readonly #folder: string;
  readonly #scripts: Subprocess[] = [];

  private constructor(world: World, helpers: HelperPrograms, manager: ServiceManager, folder: string) {
    this.world = world;
    this.helpers = helpers;
    this.manager = manager;
    this.#folder = folder;
  }

  static async start(programs: readonly string[], options: WorldOptions = {}): Promise<AttackedWorld> {
    const folder = mkdtempSync(join(tmpdir(), "apa-attacked-"));
    const helpers = new HelperPrograms(...programs);
    const manager = new ServiceManager();
    try {
      const config = { metricsSocket: join(folder, "metrics.sock"), ...options.config };
      const world = await World.start({ ...options, config, startAgent: (path) => startAsUnit(path, manager) });
      return new AttackedWorld(world, helpers, manager, folder);
    } catch (error) {
      helpers[Symbol.dispose]();
      manager[Symbol.dispose]();
      throw error;
    }
  }

  async metrics(): Promise<readonly ReadSample[]> {
    const response = await fetch("http://agent/metrics", { unix: join(this.#folder, "metrics.sock") });
    return parseExposition(await response.text()).samples;
  }

  /** Sum of all series of that name, without its prefix. */
  async metric(name: string): Promise<number> {
    const samples = (await this.metrics()).filter((sample) => sample.name === `azure_proxy_agent_${name}`);
    if (samples.length === 0) throw new Error(`there is no metric "${name}"`);
    return samples.reduce((sum, { value }) => sum + value, 0);
  }

  /** Statuses of root's requests, one after another, each on a connection of its own: IMDS and WireServer in turn. */
  async rootsStatuses(rounds: number): Promise<readonly number[]> {
    const statuses: number[] = [];
    for (let round = 0; round < rounds; round++)
      for (const url of [IMDS_INSTANCE, VERSIONS]) statuses.push((await curl(url, { limitSeconds: ROOT_LIMIT_S })).status);
    return statuses;
  }

  /** `--status` as boot tools call it. */
  status(waitSeconds: number): Promise<StatusRun> {
    return runAgentCommand(["--status", "--wait", String(waitSeconds)], { limitMs: (waitSeconds + 20) * 1_000 });
  }

  /** Runs a Python script as a user until it ends or the world does. */
  python(script: string, uid: number, ...args: readonly string[]): Subprocess<"ignore", "pipe", "inherit"> {
    const as = ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--"];
    const options = { stdin: "ignore", stdout: "pipe", stderr: "inherit", cwd: "/" } as const;
    const child = Bun.spawn([...as, "/usr/bin/python3", "-c", script, ...args], options);
    this.#scripts.push(child);
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const script of this.#scripts) script.kill("SIGKILL");
    await this.helpers.endAll();
    if (this.world.agent.process.exitCode === null) process.kill(this.world.agent.pid, "SIGCONT");
    await this.world[Symbol.asyncDispose]();
    this.manager[Symbol.dispose]();
    this.helpers[Symbol.dispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** As {@link AttackedWorld.rootsStatuses} gives them when nothing is wrong. */
export function allServed(rounds: number): readonly number[] {
  return Array(rounds * 2).fill(200);
}
