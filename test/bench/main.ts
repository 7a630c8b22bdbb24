// The benches as a program: `bun run bench`. Runs inside scripts/sandbox against the built agent and prints every figure next to
// what it was measured against in the same run. Exit code 0 whatever the figures, unless --check is given.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { requireSandbox } from "../support/sandbox.ts";
import { benchCommands } from "./command-bench.ts";
import { missedBounds, ratioOf, renderSection, type Section } from "./figures.ts";
import { benchFlood } from "./flood-bench.ts";
import { benchFootprint } from "./footprint-bench.ts";
import { benchMeter } from "./meter-bench.ts";
import { benchModuleAttack } from "./module-attack-bench.ts";
import { benchModules } from "./module-bench.ts";
import { benchPath } from "./path-bench.ts";
import { benchPolicy } from "./policy-bench.ts";
import { benchSettings } from "./settings-bench.ts";
import { benchStart } from "./start-bench.ts";
import { benchTrail } from "./trail-bench.ts";

const HELP = `usage: bun run bench [--quick] [--only NAMES] [--json FILE] [--check]

  --quick       fewer and shorter rounds, some two minutes
  --only NAMES  of path, start, footprint, policy, meter, modules, trail, flood, settings; with commas between; settings only when named
  --json FILE   write the figures there too
  --check       exit with 1 when a bound is missed
`;
const EXIT_MISSED = 1;
const EXIT_USAGE = 64;

const FULL = {
  path: { rounds: 5, seconds: 3 },
  starts: 9,
  footprint: { rounds: 3, idleSeconds: 30, loadSeconds: 3, pollSeconds: 15 },
  policy: { rounds: 9, callsPerRound: 10_000 },
  meter: { rounds: 9, callsPerRound: 10_000 },
  attack: { rounds: 1, seconds: 10 },
  flood: { rounds: 3, seconds: 10 },
  trail: { rounds: 7, seconds: 3 },
  modules: { rounds: 9, callsPerRound: 10_000, attackSeconds: 15, starts: 3 },
  settings: { rounds: 3, idleSeconds: 30, loadSeconds: 3, pollSeconds: 15 },
};
const QUICK: typeof FULL = {
  path: { rounds: 2, seconds: 1 },
  starts: 7,
  footprint: { rounds: 1, idleSeconds: 2, loadSeconds: 1, pollSeconds: 15 },
  policy: { rounds: 5, callsPerRound: 3_000 },
  meter: { rounds: 5, callsPerRound: 3_000 },
  modules: { rounds: 5, callsPerRound: 3_000, attackSeconds: 5, starts: 1 },
  attack: { rounds: 1, seconds: 5 },
  flood: { rounds: 1, seconds: 5 },
  trail: { rounds: 2, seconds: 2 },
  settings: { rounds: 1, idleSeconds: 15, loadSeconds: 2, pollSeconds: 15 },
};
const NAMES = ["path", "start", "footprint", "policy", "meter", "modules", "trail", "flood", "settings"] as const;
/** What is measured when nothing is named: all that belongs to the product. Settings take minutes and only tell why they are as they are. */
const USUAL = ["path", "start", "footprint", "policy", "meter", "modules", "trail", "flood"];

function readFlags() {
  try {
    const { values } = parseArgs({
      args: process.argv.slice(2),
      options: {
        quick: { type: "boolean", default: false },
        check: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        only: { type: "string", default: USUAL.join(",") },
        json: { type: "string" },
      },
    });
    const only = values.only.split(",");
    const unknown = only.find((name) => !NAMES.some((known) => known === name));
    if (unknown !== undefined) throw new Error(`cannot run "${unknown}": want some of ${NAMES.join(", ")}`);
    return { ...values, only };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
    process.exit(EXIT_USAGE);
  }
}

/** The bare server as one program, built like the agent itself. */
async function buildBareServer(folder: string): Promise<string> {
  const outfile = join(folder, "bare-server");
  const source = join(import.meta.dir, "bare-server.ts");
  const flags = ["--compile", "--minify", "--bytecode", "--format=esm", "--target=bun"];
  const autoload = ["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
  const build = Bun.spawn([process.execPath, "build", source, ...flags, ...autoload, "--outfile", outfile], {
    stdout: "ignore",
    stderr: "pipe",
  });
  const [errors, code] = await Promise.all([new Response(build.stderr).text(), build.exited]);
  if (code !== 0) throw new Error(`cannot compile the bare server: ${errors}`);
  return outfile;
}

const flags = readFlags();
if (flags.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
requireSandbox();
const options = flags.quick ? QUICK : FULL;
const startedMs = performance.now();
/** Waiting and running before the benches began; anything near the number of processors makes them unfair to the slower side. */
const loadBefore = loadavg()[0] ?? 0;
console.log(`${availableParallelism()} processors, load before: ${loadBefore.toFixed(1)}\n`);
const folder = mkdtempSync(join(tmpdir(), "apa-bare-"));
const sections: Section[] = [];
const add = (...done: readonly Section[]) => {
  sections.push(...done);
  for (const section of done) console.log(renderSection(section));
};
try {
  const bareServer = await buildBareServer(folder);
  if (flags.only.includes("policy")) add(await benchPolicy(options.policy));
  if (flags.only.includes("meter")) add(await benchMeter(options.meter));
  if (flags.only.includes("modules")) add(await benchModules(options.modules));
  if (flags.only.includes("modules")) add(await benchModuleAttack(options.attack));
  if (flags.only.includes("start")) add(await benchStart(options.starts, bareServer), await benchCommands(options.starts, bareServer));
  if (flags.only.includes("footprint")) add(...(await benchFootprint(options.footprint, bareServer)));
  if (flags.only.includes("settings")) add(...(await benchSettings(options.settings)));
  if (flags.only.includes("trail")) add(await benchTrail(options.trail));
  if (flags.only.includes("flood")) add(await benchFlood(options.flood));
  if (flags.only.includes("path")) add(await benchPath(options.path));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const missed = missedBounds(sections);
console.log(
  `${Math.round((performance.now() - startedMs) / 1000)} s; ${missed.length === 0 ? "all bounds held" : `bounds missed: ${missed.length}`}`,
);
if (flags.json !== undefined) {
  const rows = sections.map(({ title, how, figures }) => ({
    title,
    how,
    figures: figures.map((figure) => ({ ...figure, ratio: ratioOf(figure) })),
  }));
  writeFileSync(
    flags.json,
    `${JSON.stringify({ quick: flags.quick, processors: availableParallelism(), loadBefore, sections: rows }, null, 2)}\n`,
  );
}
process.exit(flags.check && missed.length > 0 ? EXIT_MISSED : 0);
