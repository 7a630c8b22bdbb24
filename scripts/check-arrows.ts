// Compares the imports of proxy/ with the picture of the rooms: tools -> daemon -> adapters -> core, no adapter imports a sibling,
// core imports nothing but itself and hashing. Prints each arrow that should not be there.

import { Glob } from "bun";

const ROOMS = ["core", "adapters", "daemon", "tools"] as const;
type Room = (typeof ROOMS)[number];

/** Rooms that a room may import from, itself included. */
const MAY_IMPORT: Readonly<Record<Room, readonly Room[]>> = {
  core: ["core"],
  adapters: ["adapters", "core"],
  daemon: ["daemon", "adapters", "core"],
  tools: ["tools", "daemon", "adapters", "core"],
};

/** Packages and the few places that may import each. */
const PACKAGE_HOMES: Readonly<Record<string, readonly string[]>> = {
  koffi: ["proxy/adapters/native/"],
  "@koromix/": ["proxy/adapters/native/"],
  hono: ["proxy/adapters/local/"],
  // Rule sets inside components, and records of the decision trail: two formats of ours in one encoding. Not its main entry: that looks
  // for a native addon at run time, in the folder the program was built in, which on another machine may be anybody's.
  "cbor-x/index-no-eval": ["proxy/adapters/policy/", "proxy/adapters/trail/"],
};

/** The only adapter others may import: it loads the one native module that two of them speak through. */
const SHARED_ADAPTER = "native";

export interface BadArrow {
  readonly file: string;
  readonly imported: string;
  readonly why: string;
}

export async function findBadArrows(root: string): Promise<readonly BadArrow[]> {
  const bad: BadArrow[] = [];
  for await (const file of new Glob("proxy/**/*.ts").scan({ cwd: root })) {
    if (file.endsWith(".test.ts")) continue;
    const text = await Bun.file(`${root}/${file}`).text();
    for (const match of text.matchAll(/(?:\bfrom|\bimport|\bimport\(|\brequire\()\s*"([^"]+)"/g)) {
      const imported = match[1] ?? "";
      const why = judge(file, imported);
      if (why !== undefined) bad.push({ file, imported, why });
    }
  }
  return bad;
}

function judge(file: string, imported: string): string | undefined {
  const [, room, folder] = file.split("/");
  if (imported.startsWith(".")) {
    const path = new URL(imported, `file:///${file}`).pathname.slice(1);
    const [top, toRoom, toFolder] = path.split("/");
    if (top === "build" || top === "package.json") return undefined;
    if (top !== "proxy") return "leaves proxy/";
    // main.ts imports from anywhere; version and exit codes belong to nobody.
    if (file === "proxy/main.ts" || path === "proxy/version.ts" || path === "proxy/exit-code.ts") return undefined;
    if (!isRoom(room) || !isRoom(toRoom) || !MAY_IMPORT[room].includes(toRoom)) return `${room} may not import ${toRoom}`;
    if (room === "adapters" && toRoom === "adapters" && folder !== toFolder && toFolder !== SHARED_ADAPTER)
      return "imports a sibling adapter";
    return undefined;
  }
  if (imported.startsWith("node:") || imported === "bun" || imported.startsWith("bun:")) {
    return room === "core" && imported !== "node:crypto" ? "core reaches the system" : undefined;
  }
  const home = Object.entries(PACKAGE_HOMES).find(([name]) => imported === name || imported.startsWith(name));
  if (home === undefined) return "a package that is not listed in scripts/check-arrows.ts";
  return home[1].some((folder) => file.startsWith(folder)) ? undefined : `only ${home[1].join(" and ")} may import this package`;
}

function isRoom(text: string | undefined): text is Room {
  return ROOMS.some((room) => room === text);
}

if (import.meta.main) {
  const bad = await findBadArrows(`${import.meta.dir}/..`);
  for (const { file, imported, why } of bad) console.error(`${file} imports "${imported}": ${why}`);
  if (bad.length > 0) process.exit(1);
  console.log("arrows: ok");
}
