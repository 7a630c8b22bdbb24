// The processes a bench measures, all inside the sandbox: host simulator, agent, nginx, bare servers. The agent guards one cgroup
// below the sandbox's, so that a client is redirected or not by where it is started. Everything ends with the rig.

import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { HostControlClient } from "../../host-simulator/control-client.ts";
import type { HostSettings } from "../../host-simulator/settings.ts";
import { makeSubCgroup, requireSandbox } from "../support/sandbox.ts";
import { answersOk, type Target } from "./probe.ts";

const ROOT = join(import.meta.dir, "../..");
export const AGENT = join(ROOT, "dist/azure-proxy-agent");
const UP_LIMIT_MS = 10_000;
const STOP_LIMIT_MS = 10_000;

export const IMDS: Target = { address: "169.254.169.254", port: 80, path: "/metadata/instance?api-version=2021-02-01" };
export const NGINX: Target = { ...IMDS, address: "127.0.0.1", port: 18_080 };
export const BARE: Target = { address: "127.0.0.1", port: 18_090, path: "/" };

/** Where a process is started: in the cgroup whose connects are redirected, or outside of it. */
export type Place = "guarded" | "open";

export interface AgentOptions {
  /** Command instead of the built agent, without the config. */
  readonly program?: readonly string[];
  readonly pollSeconds?: number;
  /** File for its log; /dev/null when not given. */
  readonly logPath?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Keys of its config beyond those every bench needs. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export class Rig implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "apa-bench-"));
  readonly host: HostControlClient;
  readonly keyFolder = join(this.folder, "keys");
  readonly #sandbox = requireSandbox();
  readonly #guarded = makeSubCgroup(this.#sandbox, "guarded");
  readonly #processes = new Set<Subprocess>();
  /** Where this process itself is. */
  #place: Place = "open";

  private constructor() {
    this.host = new HostControlClient(join(this.folder, "control.sock"));
    mkdirSync(join(this.folder, "status"));
  }

  static async start(settings: Partial<HostSettings>): Promise<Rig> {
    const rig = new Rig();
    try {
      const control = join(rig.folder, "control.sock");
      rig.spawn("open", [process.execPath, join(ROOT, "host-simulator/main.ts"), "--control", control, "--records", "100"]);
      await rig.host.waitUntilUp(UP_LIMIT_MS);
      await rig.host.configure(settings);
      return rig;
    } catch (error) {
      await rig[Symbol.asyncDispose]();
      throw error;
    }
  }

  get guardedCgroup(): string {
    return this.#guarded.path;
  }

  /** Runs something in this process while its sockets count as made in the guarded cgroup. */
  async whileGuarded<T>(run: () => Promise<T>): Promise<T> {
    this.#enter("guarded");
    try {
      return await run();
    } finally {
      this.#enter("open");
    }
  }

  spawn(
    place: Place,
    command: readonly string[],
    options: { readonly stdout?: string; readonly env?: Readonly<Record<string, string>> } = {},
  ) {
    const before = this.#place;
    this.#enter(place);
    try {
      const child = Bun.spawn([...command], {
        stdin: "ignore",
        stdout: options.stdout === undefined ? "ignore" : openSync(options.stdout, "a"),
        stderr: "inherit",
        cwd: "/",
        env: { PATH: process.env.PATH, ...options.env },
      });
      this.#processes.add(child);
      return child;
    } finally {
      this.#enter(before);
    }
  }

  /** Starts the agent without waiting for it. Its log goes where a service's would go unread. */
  spawnAgent({ program = [AGENT], pollSeconds = 600, logPath = "/dev/null", env = {}, config: more = {} }: AgentOptions = {}): Subprocess {
    const configPath = join(this.folder, "proxy-agent.json");
    const config = {
      logFolder: "",
      eventFolder: join(this.folder, "events"),
      telemetry: "off",
      latchKeyFolder: this.keyFolder,
      statusFolder: join(this.folder, "status"),
      monitorIntervalInSeconds: 60,
      pollKeyStatusIntervalInSeconds: pollSeconds,
      ebpfProgramName: "ebpf_cgroup.o",
      ebpfFileFullPath: join(ROOT, "dist/ebpf_cgroup.o"),
      cgroupRoot: this.guardedCgroup,
      fileLogLevelForSystemEvents: "Info",
      ...more,
    };
    writeFileSync(configPath, JSON.stringify(config));
    return this.spawn("guarded", [...program, "--config", configPath], { stdout: logPath, env });
  }

  /** The agent, intercepting and with a key. The host must be in enforce: an answer is then the proof of both. */
  async startAgent(options: AgentOptions = {}): Promise<Subprocess> {
    const agent = this.spawnAgent(options);
    await this.whileGuarded(() => this.awaitAnswer(IMDS));
    return agent;
  }

  async startNginx(): Promise<Subprocess> {
    const configPath = join(this.folder, "nginx.conf");
    writeFileSync(configPath, nginxConfig(this.folder));
    const nginx = this.spawn("open", ["nginx", "-e", join(this.folder, "nginx-error.log"), "-c", configPath]);
    await this.awaitAnswer(NGINX);
    return nginx;
  }

  async awaitAnswer(target: Target): Promise<void> {
    const endMs = performance.now() + UP_LIMIT_MS;
    while (!(await answersOk(target))) {
      if (performance.now() > endMs) throw new Error(`cannot measure: nothing answered 200 at ${target.address}:${target.port} in time`);
      await Bun.sleep(5);
    }
  }

  /** Ends a process as a service manager would. */
  async stop(child: Subprocess): Promise<void> {
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
    if (child.exitCode === null) child.kill("SIGTERM");
    await child.exited;
    clearTimeout(timer);
    this.#processes.delete(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [...this.#processes].reverse()) await this.stop(child);
    this.#guarded[Symbol.dispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #enter(place: Place): void {
    if (place === this.#place) return;
    if (place === "guarded") this.#guarded.enter();
    else writeFileSync(join(this.#sandbox.cgroupPath, "cgroup.procs"), String(process.pid));
    this.#place = place;
  }
}

/** The worker of an nginx that has one. */
export function workerOf(nginx: Subprocess): number {
  const children = readFileSync(`/proc/${nginx.pid}/task/${nginx.pid}/children`, "utf8").trim().split(" ");
  return Number(children[0]);
}

/** A plain reverse proxy with all that is known to make nginx fast here. */
function nginxConfig(folder: string): string {
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/nginx-${name};`);
  return `user root;
worker_processes 1;
daemon off;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx-error.log;
events { worker_connections 1024; }
http {
  access_log off;
  tcp_nodelay on;
  keepalive_requests 10000000;
  ${paths.join("\n  ")}
  upstream host { server ${IMDS.address}:${IMDS.port}; keepalive 64; keepalive_requests 10000000; }
  server {
    listen ${NGINX.address}:${NGINX.port};
    location / {
      proxy_pass http://host;
      proxy_http_version 1.1;
      proxy_set_header Host ${IMDS.address};
      proxy_set_header Connection "";
    }
  }
}
`;
}
