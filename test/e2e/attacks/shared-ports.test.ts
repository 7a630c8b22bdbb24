// Sockets that share their four values with another user's: bound to a device, bound before, closed, connected again. The agent is
// stopped with SIGSTOP, or away for a restart, while they are made, which makes the races certain. Whatever they do, no request of
// theirs is decided as somebody else's, and who shares a port with them is served.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { type Counts, type Helper, HelperPrograms } from "../../support/helper-program.ts";
import { ServiceManager } from "../../support/service-manager.ts";
import { startAsUnit } from "../../support/unit-agent.ts";
import { curl, World } from "../../support/world.ts";

const NOBODY = 65534;
const WIRESERVER = "168.63.129.16:80";
const SECRET_PATH = "/?comp=versions";
const PORT_RANGE = "/proc/sys/net/ipv4/ip_local_port_range";
/** Each test takes the next ones: those of the test before may still be in TIME_WAIT. */
let firstPort = 42_000;
const PORTS = 24;
/** The agent goes on while the other ends are mute. */
const CONNECT_LIMIT_MS = 150;
/** For whatever was lost to be sent again. */
const ANSWER_SECONDS = 12;

let helpers: HelperPrograms;
let manager: ServiceManager;
let world: World;
let portsBefore: string;

beforeAll(() => {
  helpers = new HelperPrograms("connector");
  portsBefore = readFileSync(PORT_RANGE, "utf8");
});
afterAll(() => helpers[Symbol.dispose]());
beforeEach(async () => {
  manager = new ServiceManager();
  world = await World.start({ startAgent: (configPath) => startAsUnit(configPath, manager) });
});
afterEach(async () => {
  writeFileSync(PORT_RANGE, portsBefore);
  if (world.agent.process.exitCode === null) process.kill(world.agent.pid, "SIGCONT");
  await helpers.endAll();
  await world[Symbol.asyncDispose]();
  manager[Symbol.dispose]();
  firstPort += PORTS;
});

const connector = (settings: Readonly<Record<string, string | number>>): Promise<Helper> =>
  helpers.start("connector", { to: WIRESERVER, path: SECRET_PATH, count: PORTS, first: firstPort, wait: CONNECT_LIMIT_MS, ...settings });
const attacker = (mode: string) => connector({ uid: NOBODY, tag: "attacker", mode, mute: 1 });
/** On the attacker's ports where the kernel would ever give those to a connect: it leaves out what somebody has bound. */
const root = (attackersMode: string) =>
  attackersMode.startsWith("reuse")
    ? connector({ uid: 0, tag: "root", mode: "plain", first: 0 })
    : connector({ uid: 0, tag: "root", mode: "pinned" });

const callerOf = (headers: readonly (readonly [string, string])[]) => headers.find(([name]) => name.toLowerCase() === "x-caller")?.[1];

/** WireServer is for root alone: nothing of the attacker may arrive there, signed as whoever it is. */
async function expectNothingStolen(): Promise<void> {
  const stolen = (await world.received("wireserver")).filter(({ headers }) => callerOf(headers) === "attacker");
  expect(new Set(stolen.map(({ claims }) => claims))).toEqual(new Set());
  expect(await world.unsignedLeft()).toEqual([]);
}

const rootsAnswers = (helper: Helper): Promise<Counts> => helper.ask(`read ${ANSWER_SECONDS}`);

const MODES = ["device", "device-after", "reuse", "reuse-any", "mapped", "syn-sent"] as const;
const LEFT = ["half-closed", "closed", "reconnect"] as const;
const ORDERS = ["attacker first", "root first"] as const;
type Order = (typeof ORDERS)[number];

/** While nobody accepts: the attacker's connections, root's on the same ports, then the requests of both. */
async function collide(mode: string, order: Order): Promise<{ attackers: Helper; roots: Helper }> {
  const roots = order === "root first" ? await root(mode) : undefined;
  const attackers = await attacker(mode);
  if (mode === "syn-sent") await attackers.ask("release");
  await attackers.ask("send");
  const victims = roots ?? (await whileMute(() => root(mode)));
  expect((await victims.ready).offPort).toBe(0);
  await victims.ask("send");
  return { attackers, roots: victims };
}

/** Just after a keep-alive probe of connections that are quiet from now on: a connect on the same port finds nobody who answers it. */
async function whileMute<T>(begin: () => Promise<T>): Promise<T> {
  await Bun.sleep(1_150);
  return begin();
}

describe("while the agent is stopped", () => {
  test.each(MODES.flatMap((mode) => ORDERS.map((order) => [mode, order] as const)))(
    "T-172: sockets of another user on root's source ports are never root, and root is served: %s, %s",
    async (mode, order) => {
      process.kill(world.agent.pid, "SIGSTOP");
      const { attackers, roots } = await collide(mode, order);
      process.kill(world.agent.pid, "SIGCONT");
      const [answers] = await Promise.all([rootsAnswers(roots), attackers.ask("read 3")]);
      await expectNothingStolen();
      expect(answers).toEqual({ "200": PORTS });
    },
    60_000,
  );

  test.each(LEFT)(
    "T-173: a connection that its user ended or began anew is decided as that user's, or not at all: %s",
    async (mode) => {
      process.kill(world.agent.pid, "SIGSTOP");
      const { attackers, roots } = await collide(mode, "attacker first");
      process.kill(world.agent.pid, "SIGCONT");
      const [answers] = await Promise.all([rootsAnswers(roots), attackers.ask("read 3")]);
      await expectNothingStolen();
      expect(answers).toEqual({ "200": PORTS });
    },
    60_000,
  );
});

describe("over a restart", () => {
  test("T-172: whoever holds every source port of the machine is nobody else, and root connects as ever", async () => {
    writeFileSync(PORT_RANGE, `${firstPort} ${firstPort + PORTS - 1}`);
    expect(await world.agent.stop()).toBe(0);
    const attackers = await attacker("device");
    await attackers.ask("send");
    // What root runs knows nothing of ports: the kernel chooses them.
    const url = `http://168.63.129.16${SECRET_PATH}`;
    const waiting = await whileMute(async () => {
      const curls = Array.from({ length: 8 }, () => curl(url, { args: ["-H", "X-Caller: root"] }));
      await Bun.sleep(100);
      return { curls };
    });
    world.agent = startAsUnit(world.configPath, manager);
    const answers = await Promise.all(waiting.curls);
    await attackers.ask("read 1");
    await expectNothingStolen();
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
  }, 60_000);
});
