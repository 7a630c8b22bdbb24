// A fuzzer of the seam between kernel and agent: eight users with two processes each connect in every way they can, while the agent is
// stopped for up to three seconds and restarted, over and over. Whatever they do, each request that is endorsed is endorsed as the
// process that sent it, no process gets what belongs to another, and connects without tricks are served.
//
// SEAM_FUZZ_SECONDS sets how long (default 60), SEAM_FUZZ_SEED what is chosen. A seed repeats the choices, not the machine's timing.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { chmodSync, copyFileSync } from "node:fs";
import { join } from "node:path";
import { type Counts, Helper, HelperPrograms } from "../support/helper-program.ts";
import { seededRandom } from "../support/random.ts";
import { checkTrail, mismatchOf, type SeamProcess } from "../support/seam-fuzz.ts";
import { ServiceManager } from "../support/service-manager.ts";
import { startAsUnit } from "../support/unit-agent.ts";
import { World } from "../support/world.ts";

const SECONDS = Number(process.env.SEAM_FUZZ_SECONDS ?? 60);
const SEED = Number(process.env.SEAM_FUZZ_SEED ?? randomBytes(4).readUInt32LE());
const USERS = [0, 65_534, 100_000, 100_001, 100_002, 100_003, 100_004, 100_005] as const;
const PROCESSES_PER_USER = 2;
const SLOTS = 20;
const LONGEST_STALL_MS = 3_000;
/** Between two restarts. */
const MOST_STALLS = 4;
/** In the kernel's own range, or the kernel does not take them from a process's own choice. */
const HOT_PORT = 45_000;
/** Outcomes that a connect without tricks may end in. */
const SERVED = { own: "200", other: "403" } as const;
const SHOWN = 10;
/** Share of decisions that a busy machine may make late. */
const MOST_LATE = 0.01;

let programs: HelperPrograms;
let manager: ServiceManager;
let world: World;
let running: Helper[];

beforeEach(() => {
  programs = new HelperPrograms("seam-client");
  manager = new ServiceManager();
  running = [];
});
afterEach(async () => {
  for (const helper of running) helper.kill();
  if (world.agent.process.exitCode === null) process.kill(world.agent.pid, "SIGCONT");
  await world[Symbol.asyncDispose]();
  manager[Symbol.dispose]();
  programs[Symbol.dispose]();
});

/** Each process has a program of its own and may read one thing; the rules of the host say so. */
function rulesFor(paths: readonly string[]) {
  return {
    privileges: paths.map((_, index) => ({ name: `p${index}`, path: "/metadata/instance", queryParameters: { seam: String(index) } })),
    roles: paths.map((_, index) => ({ name: `r${index}`, privileges: [`p${index}`] })),
    identities: paths.map((exePath, index) => ({ name: `i${index}`, exePath })),
    roleAssignments: paths.map((_, index) => ({ role: `r${index}`, identities: [`i${index}`] })),
  };
}

async function startWorld(paths: readonly string[]): Promise<World> {
  return World.start({
    host: { imds: "enforce", rules: { imds: { id: "seam", defaultAccess: "deny", mode: "enforce", rules: rulesFor(paths) } } },
    config: { auditFolder: join(programs.folder, "audit"), auditTotalMiB: 1_024, fileLogLevelForSystemEvents: "Info" },
    startAgent: (configPath) => startAsUnit(configPath, manager),
  });
}

async function startProcess(index: number, uid: number, path: string, others: number): Promise<SeamProcess & { readonly helper: Helper }> {
  const secret = randomBytes(12).toString("hex");
  const settings = { uid, seed: SEED + index, me: index, others, secret, slots: SLOTS, hot: HOT_PORT };
  const helper = new Helper([path, ...Object.entries(settings).map(([key, value]) => `${key}=${value}`)]);
  running.push(helper);
  await helper.ready;
  return { index, uid, pid: helper.pid, path, secret, helper };
}

interface Tally {
  readonly endorsed: Map<number, number>;
  readonly mismatches: string[];
  arrived: number;
  restarts: number;
  stalls: number;
}

/** Stops and restarts the agent until the time is over. */
async function disturb(tally: Tally, endMs: number, helpers: readonly Helper[]): Promise<void> {
  const random = seededRandom(SEED);
  let sinceRestart = 0;
  while (performance.now() < endMs) {
    await Bun.sleep(300 + random.below(1_500));
    // Chance alone would leave some runs without a restart.
    if (random.oneIn(4) || sinceRestart === MOST_STALLS) {
      expect(await world.agent.stop()).toBe(0);
      await Bun.sleep(random.below(1_500));
      world.agent = startAsUnit(world.configPath, manager);
      await world.agent.line("agent-ready");
      tally.restarts += 1;
      sinceRestart = 0;
    } else {
      process.kill(world.agent.pid, "SIGSTOP");
      await Promise.all(helpers.map((helper) => helper.ask("stall")));
      await Bun.sleep(LONGEST_STALL_MS / 10 + random.below(LONGEST_STALL_MS * 0.9));
      process.kill(world.agent.pid, "SIGCONT");
      tally.stalls += 1;
      sinceRestart += 1;
    }
  }
}

/** Judges what arrived at the host since the request with that id; gives the id of the last one. */
async function judge(tally: Tally, processes: readonly SeamProcess[], afterId: number): Promise<number> {
  const records = await world.host.requests({ afterId });
  const first = records[0];
  // The simulator keeps a number of requests; what it forgot before it was looked at cannot count as good.
  if (first !== undefined && afterId > 0 && first.id !== afterId + 1)
    tally.mismatches.push(`${first.id - afterId - 1} requests were not seen`);
  for (const record of records) {
    // The agent's own, unsigned by the protocol.
    if (record.target.startsWith("/secure-channel/")) continue;
    tally.arrived += 1;
    const mismatch = mismatchOf(record, processes);
    if (mismatch !== undefined) tally.mismatches.push(mismatch);
    else {
      const uid = processes.find(({ secret }) => record.headers.some(([, value]) => value === secret))?.uid ?? -1;
      tally.endorsed.set(uid, (tally.endorsed.get(uid) ?? 0) + 1);
    }
  }
  return records.at(-1)?.id ?? afterId;
}

function sum(counts: readonly Counts[]): Counts {
  const all: Record<string, number> = {};
  for (const one of counts) for (const [what, times] of Object.entries(one)) all[what] = (all[what] ?? 0) + times;
  return all;
}

/** What must not be among the outcomes that processes saw: another's data, a direct connection that is served. */
const forbidden = (counts: Counts) => Object.keys(counts).filter((what) => /\.other\.200$|\.direct\.200$/.test(what));
const ASKED_AGAIN: readonly string[] = ["plain.own.503", "plain.other.503"];
const askedAgain = (counts: Counts) => ASKED_AGAIN.reduce((count, what) => count + (counts[what] ?? 0), 0);
const refused = (counts: Counts) => (counts["plain.own.403"] ?? 0) + (counts["odd.own.403"] ?? 0);

test(
  `T-184: ${SECONDS} s of anything that users can do to sockets, with stalls and restarts: each request is endorsed as who sent it`,
  async () => {
    console.log(`seam fuzzer: SEAM_FUZZ_SEED=${SEED} SEAM_FUZZ_SECONDS=${SECONDS}`);
    const uids = USERS.flatMap((uid) => Array(PROCESSES_PER_USER).fill(uid) as number[]);
    const paths = uids.map((_, index) => {
      const path = programs.path(`seam-client-${index}`);
      copyFileSync(programs.path("seam-client"), path);
      chmodSync(path, 0o755);
      return path;
    });
    world = await startWorld(paths);
    const processes = await Promise.all(uids.map((uid, index) => startProcess(index, uid, paths[index] ?? "", uids.length)));
    const tally: Tally = { endorsed: new Map(), mismatches: [], arrived: 0, restarts: 0, stalls: 0 };
    let over = false;
    const judging = (async () => {
      let seen = 0;
      while (!over) {
        seen = await judge(tally, processes, seen);
        await Bun.sleep(500);
      }
      await judge(tally, processes, seen);
    })();
    await disturb(
      tally,
      performance.now() + SECONDS * 1_000,
      processes.map(({ helper }) => helper),
    );
    const outcomes = await Promise.all(processes.map(({ helper }) => helper.ask("stop")));
    over = true;
    await judging;
    expect(await world.agent.stop()).toBe(0);
    const trail = checkTrail(join(programs.folder, "audit"), processes);

    const perUser = Object.fromEntries(USERS.map((uid) => [uid, tally.endorsed.get(uid) ?? 0]));
    const mismatches = [...tally.mismatches, ...trail.mismatches];
    const summary = {
      arrived: tally.arrived,
      endorsed: perUser,
      restarts: tally.restarts,
      stalls: tally.stalls,
      decisions: trail.checked,
      late: trail.late,
    };
    console.log("seam fuzzer:", JSON.stringify({ ...summary, mismatches: mismatches.length, outcomes: sum(outcomes) }));

    expect(mismatches.slice(0, SHOWN)).toEqual([]);
    expect(mismatches.length).toBe(0);
    expect(trail.refusals).toEqual({});
    expect(outcomes.flatMap(forbidden)).toEqual([]);
    // Nobody is refused what is theirs; where the machine is too busy to say in time who asks, they are asked to come again.
    expect(refused(sum(outcomes))).toBe(0);
    expect(askedAgain(sum(outcomes))).toBeLessThanOrEqual(trail.late);
    expect(trail.late).toBeLessThanOrEqual(trail.checked * MOST_LATE);
    // Connects without tricks, of root and of everybody else.
    const lost = outcomes.flatMap((counts) =>
      Object.keys(counts).filter(
        (what) =>
          what.startsWith("plain.") &&
          !ASKED_AGAIN.includes(what) &&
          !Object.entries(SERVED).some(([want, status]) => what === `plain.${want}.${status}`),
      ),
    );
    expect(lost).toEqual([]);
    // That all of it was tried.
    expect(USERS.filter((uid) => (perUser[uid] ?? 0) < SECONDS)).toEqual([]);
    expect(tally.restarts).toBeGreaterThanOrEqual(Math.floor(SECONDS / 30));
    expect(tally.stalls).toBeGreaterThanOrEqual(Math.floor(SECONDS / 30));
    expect(trail.checked).toBeGreaterThanOrEqual(tally.arrived);
    const tried = Object.keys(sum(outcomes));
    expect(tried).toEqual(expect.arrayContaining(["plain.own.200", "odd.own.200", "plain.other.403", "odd.other.403", "odd.direct.421"]));
  },
  SECONDS * 1_000 + 120_000,
);
