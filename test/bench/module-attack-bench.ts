// What others notice while somebody attacks through a hostile policy module: requests at a steady rate, to another endpoint and to the
// module's own, beside nobody, beside a flood of denied requests, and beside the same flood of requests that attack.

import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { burningComponent } from "../support/burning-module.ts";
import { atMost, type Figure, median, quantile, type Section } from "./figures.ts";
import { installModule } from "./module-store.ts";
import type { Target } from "./probe.ts";
import { IMDS, Rig } from "./rig.ts";
import { probeSteadily } from "./steady-probe.ts";

const WIRESERVER: Target = { address: "168.63.129.16", port: 80, path: "/?comp=versions" };
/** Over what the same requests take beside as many denied ones. */
const BOUND_ADDED_MS = 15;
const FIRST_USER_ID = 20_000;
const PERIOD_MS = 10;

export interface AttackOptions {
  readonly rounds: number;
  readonly seconds: number;
}

interface Attack {
  readonly name: string;
  readonly method: string;
  readonly users: number;
  /** Of each user, all busy all the time. */
  readonly connections: number;
}

const KINDS = [
  { name: "requests that it denies", method: "DELETE" },
  { name: "endless loops", method: "PUT" },
  { name: "calls that burn nearly all fuel", method: "OPTIONS" },
] as const;
const CROWDS = [
  { users: 1, connections: 16 },
  { users: 8, connections: 4 },
] as const;
const ATTACKS: readonly Attack[] = CROWDS.flatMap((crowd) => KINDS.map((kind) => ({ ...kind, ...crowd })));
const PROBED = { "another endpoint": WIRESERVER, "the module's endpoint": IMDS } as const;
type Probed = keyof typeof PROBED;
const PROBES = Object.keys(PROBED) as readonly Probed[];

export async function benchModuleAttack({ rounds, seconds }: AttackOptions): Promise<Section> {
  const component = await burningComponent();
  const p99 = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const attack of [undefined, ...ATTACKS]) {
      // Each attack meets an agent that was never attacked: what it may do at first is in the figure.
      await using rig = await Rig.start({ imds: "enforce", wireserver: "enforce", rules: {} });
      await rig.startAgent();
      await installModule(rig, component, "hostile");
      for (const [probed, value] of await measure(rig, attack, seconds)) {
        const key = `${keyOf(attack)}/${probed}`;
        p99.set(key, [...(p99.get(key) ?? []), value]);
      }
    }
  }
  const of = (attack: Attack | undefined, probed: Probed) => median(p99.get(`${keyOf(attack)}/${probed}`) ?? []);
  const figureOf = (attack: Attack, probed: Probed): Figure => {
    const denied = ATTACKS.find(({ users }) => users === attack.users);
    const isDenied = attack === denied;
    const [value, normal] = [of(attack, probed), of(isDenied ? undefined : denied, probed)];
    const figure: Figure = {
      name: `${keyOf(attack)}: p99 of ${probed}`,
      value,
      unit: "ms",
      against: { name: isDenied ? "nobody else asks" : "beside as many that it denies", value: normal },
    };
    return isDenied ? figure : { ...figure, bound: atMost(value - normal, BOUND_ADDED_MS, `${BOUND_ADDED_MS} ms more`) };
  };
  return {
    title: "A hostile module under attack",
    how: `${rounds} rounds of ${seconds} s from the first moment of the attack: a request every ${PERIOD_MS} ms to each of two endpoints, beside 16 busy connections of one user, or 4 of each of 8`,
    figures: ATTACKS.flatMap((attack) => PROBES.map((probed) => figureOf(attack, probed))),
  };
}

function keyOf(attack: Attack | undefined): string {
  return attack === undefined ? "" : `${attack.name}, ${attack.users} ${attack.users === 1 ? "user" : "users"}`;
}

async function measure(rig: Rig, attack: Attack | undefined, seconds: number): Promise<readonly (readonly [Probed, number])[]> {
  return rig.whileGuarded(async () => {
    const probe = () => Promise.all(PROBES.map(async (name) => [name, await probeSteadily(PROBED[name], PERIOD_MS, seconds)] as const));
    await Promise.all(PROBES.map((name) => probeSteadily(PROBED[name], PERIOD_MS, 0.5)));
    const attackers = attack === undefined ? [] : startAttack(rig, attack, seconds);
    const times = await probe();
    for (const attacker of attackers) await rig.stop(attacker);
    return times.map(([name, values]) => [name, quantile(values, 0.99)] as const);
  });
}

function startAttack(rig: Rig, { method, users, connections }: Attack, seconds: number): readonly Subprocess[] {
  const script = join(rig.folder, "attack.lua");
  // The attackers are other users.
  chmodSync(rig.folder, 0o711);
  writeFileSync(script, `wrk.method = "${method}"\n`, { mode: 0o644 });
  const url = `http://${IMDS.address}:${IMDS.port}${IMDS.path}`;
  return Array.from({ length: users }, (_, user) => {
    // What the attacker's own program takes from the processors is not what is asked about.
    const as = ["nice", "-n", "19", "setpriv", `--reuid=${FIRST_USER_ID + user}`, "--clear-groups"];
    const wrk = ["wrk", "-t1", `-c${connections}`, `-d${Math.ceil(seconds) + 1}s`, "-H", "Metadata: true", "-s", script, url];
    return rig.spawn("guarded", [...as, ...wrk]);
  });
}
