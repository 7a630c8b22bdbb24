// What outlives an agent, and how the next one takes it over: same layout, another layout, and whatever else may be found in the pin
// folder. All of it on the sandbox's own bpffs.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RedirectorOptions } from "../../proxy/adapters/ebpf/attachment.ts";
import { KernelObjects } from "../../proxy/adapters/ebpf/kernel-objects.ts";
import { PROGRAMS } from "../../proxy/adapters/ebpf/layout.ts";
import { Libbpf } from "../../proxy/adapters/ebpf/libbpf.ts";
import { listObjects } from "../../proxy/adapters/ebpf/list-objects.ts";
import { type AttachedRedirector, openRedirector } from "../../proxy/adapters/ebpf/redirector.ts";
import { gatherRedirect, releasePins, releaseRedirect } from "../../proxy/adapters/ebpf/release.ts";
import type { Connection } from "../../proxy/core/ports.ts";
import type { Endpoint } from "../../proxy/core/request/endpoint.ts";
import { ATTACH_TYPE, attachedPrograms, programsLeft } from "../support/attached-programs.ts";
import { connectionOf, eventually, OBJECT_FILE, OBJECT_FILE_WITHOUT_BTF, recordOf, run, unwrap } from "../support/redirected-listener.ts";
import { makeSubCgroup, requireSandbox } from "../support/sandbox.ts";

const sandbox = requireSandbox();
const PINS = "/sys/fs/bpf/takeover";
const NAME = "layout-2-2";
const LAYOUT = join(PINS, NAME);
const BUILD_EBPF = join(import.meta.dir, "../../scripts/build-ebpf");

/** Objects that are the same but for their numbers, as an older or newer build may be. */
const other = { layout: "", records: "", first: "" };
let built = "";
beforeAll(async () => {
  built = mkdtempSync(join(tmpdir(), "apa-layouts-"));
  for (const [name, flag] of [
    ["layout", "-DLAYOUT_VERSION=7"],
    ["records", "-DLAYOUT_VERSION=8 -DRECORD_VERSION=3"],
    ["first", ""],
  ] as const) {
    const source = name === "first" ? { EBPF_SOURCE: join(import.meta.dir, "../fixtures/first-layout.bpf.c") } : {};
    const finished = await run([BUILD_EBPF], { EBPF_OUT: join(built, name), EBPF_FLAGS: flag, ...source });
    if (finished.code !== 0) throw new Error(finished.stderr);
    other[name] = join(built, name, "redirect.bpf.o");
  }
});
afterAll(() => rmSync(built, { recursive: true, force: true }));

/** A listener that accepts and keeps, and a host at the guarded address that must hear nothing. */
function openDoor() {
  const connections: Connection[] = [];
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void connections.push(connectionOf(socket)),
      data() {},
    },
  });
  let direct = 0;
  const host = Bun.listen({ hostname: "169.254.169.254", port: 80, socket: { open: () => void (direct += 1), data() {} } });
  return {
    port: listener.port,
    connections,
    direct: () => direct,
    close: () => {
      listener.stop(true);
      host.stop(true);
    },
  };
}

let door: ReturnType<typeof openDoor>;
const opened: AttachedRedirector[] = [];

function open(changes: Partial<RedirectorOptions> = {}): AttachedRedirector {
  const redirector = unwrap(
    openRedirector({
      objectFile: OBJECT_FILE,
      objectFileWithoutBtf: OBJECT_FILE_WITHOUT_BTF,
      cgroupPath: sandbox.cgroupPath,
      listenerPort: door.port,
      passForeignNamespaces: false,
      pinFolder: PINS,
      ...changes,
    }),
  );
  opened.push(redirector);
  return redirector;
}

beforeAll(() => {
  door = openDoor();
});
afterAll(() => door.close());
afterEach(() => {
  for (const one of opened.splice(0)) one[Symbol.dispose]();
  unwrap(releasePins(PINS));
  expect(programsLeft(sandbox.cgroupPath)).toEqual([]);
  for (const name of readdirSync("/sys/fs/bpf").filter((found) => found.startsWith("takeover"))) rmdirSync(join("/sys/fs/bpf", name));
});

/** One client that connects to IMDS, prints its source port, and stays for as long as the process is left alone. */
async function connectOne() {
  const before = door.connections.length;
  const code =
    "import socket,sys\ns=socket.socket()\ns.settimeout(5)\ns.connect(('169.254.169.254',80))\nprint(s.getsockname()[1],flush=True)\nsys.stdin.read()";
  const child = Bun.spawn(["/usr/bin/python3", "-c", code], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  await child.stdout.getReader().read();
  await eventually("the connection arrived", () => door.connections.length > before);
  return {
    connection: door.connections.at(-1) ?? { address: "", port: 0, descriptor: -1 },
    pid: child.pid,
    end: async () => {
      child.stdin.end();
      await child.exited;
    },
  };
}

const all = new Set<Endpoint>(["imds"]);

describe("an agent that leaves", () => {
  test("leaves programs, maps and what is guarded; the next one of the same layout goes on with them", async () => {
    const first = open();
    expect([first.takeover, first.notPinned, [...first.inherited]]).toEqual(["none", undefined, []]);
    unwrap(first.setEndpoint("imds", true));
    const ids = attachedPrograms(sandbox.cgroupPath);
    expect(ids).toHaveLength(5);
    first.leave();
    expect(attachedPrograms(sandbox.cgroupPath)).toEqual(ids);
    expect(readdirSync(PINS)).toEqual([NAME]);
    expect([statSync(PINS).mode & 0o777, statSync(PINS).uid]).toEqual([0o700, 0]);

    const between = await connectOne();
    const second = open();
    expect([second.takeover, second.notPinned, [...second.inherited]]).toEqual(["same-layout", undefined, ["imds"]]);
    expect(recordOf(second, between.connection)).toMatchObject({ processId: between.pid, destinationAddress: "169.254.169.254" });
    await between.end();
    // Links were kept, programs are the new agent's own.
    const now = attachedPrograms(sandbox.cgroupPath);
    expect(now).toHaveLength(5);
    expect(now.map(({ id }) => id)).not.toContain(ids[0]?.id ?? 0);
    expect(second.verify(all)).toEqual([]);
    expect(unwrap(second.counters()).redirected).toBe(0n);
    expect(door.direct()).toBe(0);
  });

  test("T-83: exempts nobody any more", async () => {
    const first = open();
    unwrap(first.setEndpoint("imds", true));
    first.leave();
    const before = door.connections.length;
    const socket = await Bun.connect({ hostname: "169.254.169.254", port: 80, socket: { data() {} } });
    await eventually("our own connect was redirected", () => door.connections.length > before);
    socket.end();
  });

  test("that is disposed of takes everything along", async () => {
    const first = open();
    unwrap(first.setEndpoint("imds", true));
    first[Symbol.dispose]();
    expect([attachedPrograms(sandbox.cgroupPath), readdirSync(PINS)]).toEqual([[], []]);
  });

  test("that cannot start leaves what was in effect before as it was", async () => {
    const first = open();
    unwrap(first.setEndpoint("imds", true));
    first.leave();
    const before = attachedPrograms(sandbox.cgroupPath);
    expect(() => open({ objectFile: "/nonexistent.o" })).toThrow("cannot read eBPF object");
    expect(attachedPrograms(sandbox.cgroupPath)).toEqual(before);
    expect(open().takeover).toBe("same-layout");
  });
});

describe("an agent of another layout", () => {
  test("takes over what is guarded, and finds who connected before", async () => {
    const old = open({ objectFile: other.layout });
    expect(readdirSync(PINS)).toEqual(["layout-7-2"]);
    unwrap(old.setEndpoint("imds", true));
    old.leave();
    const waiting = await connectOne();
    const young = open({ ancestorMs: 3_000 });
    expect([young.takeover, [...young.inherited]]).toEqual(["other-layout", ["imds"]]);
    expect(readdirSync(PINS)).toEqual([NAME]);
    expect(recordOf(young, waiting.connection)).toMatchObject({ processId: waiting.pid });
    const later = await connectOne();
    expect(recordOf(young, later.connection)).toMatchObject({ processId: later.pid });
    // The old ones that begin redirects are gone at once, those that clean up a little later.
    const counts = () =>
      [3, 10, 11, 29, 30].map((type) => attachedPrograms(sandbox.cgroupPath).filter((p) => p.attachType === type).length);
    expect(counts()).toEqual([2, 1, 1, 2, 2]);
    await eventually("the old ones are gone", () => counts().every((count) => count === 1));
    expect(young.verify(all)).toEqual([]);
    await waiting.end();
    await later.end();
  });

  test("says that it cannot read records of another form, so that their callers are asked to come again", async () => {
    const old = open({ objectFile: other.records });
    unwrap(old.setEndpoint("imds", true));
    old.leave();
    const waiting = await connectOne();
    const young = open({ ancestorMs: 3_000 });
    expect(young.takeover).toBe("other-layout");
    expect(young.originOf(waiting.connection)).toMatchObject({
      ok: false,
      error: { message: expect.stringContaining("layout is another") },
    });
    const later = await connectOne();
    expect(recordOf(young, later.connection)).toMatchObject({ processId: later.pid });
    await eventually("the old records are forgotten", () => young.originOf(waiting.connection).ok);
    expect(recordOf(young, waiting.connection)).toBeUndefined();
    await waiting.end();
    await later.end();
  });

  test("T-80: swapped forth and back under load, not one connect goes round", async () => {
    const first = open();
    unwrap(first.setEndpoint("imds", true));
    let current = first;
    const code = `
import socket, sys, threading
over, made, failed = threading.Event(), [0], []
def go():
    while not over.is_set():
        try:
            s = socket.socket(); s.settimeout(5); s.connect(("169.254.169.254", 80)); s.close(); made[0] += 1
        except Exception as e: failed.append(repr(e))
threads = [threading.Thread(target=go) for _ in range(3)]
[t.start() for t in threads]
sys.stdin.read(); over.set(); [t.join() for t in threads]
print(made[0], len(failed), failed[:3])`;
    const child = Bun.spawn(["/usr/bin/python3", "-c", code], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    await Bun.sleep(200);
    for (let round = 0; round < 12; round += 1) {
      current.leave();
      await Bun.sleep(20);
      current = open({ objectFile: [other.layout, OBJECT_FILE, OBJECT_FILE, other.records][round % 4] ?? OBJECT_FILE, ancestorMs: 100 });
      expect(current.takeover).toBe(round % 4 === 2 ? "same-layout" : "other-layout");
      await Bun.sleep(60);
    }
    child.stdin.end();
    const said = await new Response(child.stdout).text();
    expect(Number(said.split(" ")[0])).toBeGreaterThan(50);
    expect(said.trim().split(" ").slice(1).join(" ")).toBe("0 []");
    expect(door.direct()).toBe(0);
  });
});

describe("an agent of the first layout, whose records are found by address", () => {
  /** Puts programs and maps into the kernel and pins them, as such an agent leaves them. */
  function leaveFirst(cgroupPath = sandbox.cgroupPath): void {
    const libbpf = unwrap(Libbpf.open());
    const kernel = unwrap(KernelObjects.open(libbpf));
    const object = unwrap(libbpf.load(other.first));
    const folder = join(PINS, "layout-1-1");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const name of ["guarded", "settings", "counters", "records", "origins"])
      unwrap(kernel.pin(unwrap(libbpf.findMap(object, name)), join(folder, `map_${name}`)));
    const settings = new Uint8Array(40);
    new DataView(settings.buffer).setBigUint64(8, unwrap(libbpf.networkNamespaceCookie()), true);
    new DataView(settings.buffer).setUint16(36, door.port, true);
    unwrap(libbpf.update(unwrap(libbpf.findMap(object, "settings")), new Uint8Array(4), settings, "settings"));
    const imds = new Uint8Array([169, 254, 169, 254, 0, 80, 0, 0]);
    unwrap(libbpf.update(unwrap(libbpf.findMap(object, "guarded")), imds, new Uint8Array(4), "imds"));
    const cgroup = openSync(cgroupPath, "r");
    for (const { name, attachType } of PROGRAMS) {
      const link = unwrap(kernel.attach(unwrap(libbpf.findProgram(object, name)), cgroup, attachType, name));
      unwrap(kernel.pin(link, join(folder, `link_${name}`)));
      closeSync(link);
    }
    closeSync(cgroup);
    libbpf.close(object);
  }

  test("T-190: loses no connection, and each has its own record", async () => {
    leaveFirst();
    const waiting = await connectOne();
    const young = open({ ancestorMs: 60_000 });
    expect([young.takeover, [...young.inherited], readdirSync(PINS)]).toEqual(["other-layout", ["imds"], [NAME]]);
    expect(recordOf(young, waiting.connection)).toMatchObject({ processId: waiting.pid, destinationAddress: "169.254.169.254" });
    const later = await connectOne();
    expect(recordOf(young, later.connection)).toMatchObject({ processId: later.pid });
    expect(young.verify(all)).toEqual([]);
    expect(door.direct()).toBe(0);
    await waiting.end();
    await later.end();
  });

  test("T-190: believes no record that may be another's: two sockets with one address and port", async () => {
    leaveFirst();
    // The second socket is bound to loopback, the first is not: they do not conflict, and the second one's record replaced the first one's.
    const code = `
import socket, sys
first = socket.socket(); first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
first.setsockopt(socket.SOL_SOCKET, 25, b"lo\\0"); first.bind(("127.0.0.1", 0)); first.connect(("169.254.169.254", 80))
second = socket.socket(); second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
second.bind(("127.0.0.1", first.getsockname()[1])); second.setblocking(False); second.connect_ex(("169.254.169.254", 80))
print(second.getsockname() == first.getsockname(), flush=True); sys.stdin.read()`;
    const before = door.connections.length;
    const child = Bun.spawn(["/usr/bin/python3", "-c", code], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    expect(new TextDecoder().decode((await child.stdout.getReader().read()).value).trim()).toBe("True");
    await eventually("the first connection arrived", () => door.connections.length > before);
    const young = open({ ancestorMs: 60_000 });
    for (const connection of door.connections.slice(before)) {
      // The second one's SYN may have reset the first one by now: then there is no socket to ask about.
      const origin = young.originOf(connection);
      expect(origin.ok && origin.value.kind === "redirected").toBe(false);
    }
    child.stdin.end();
    await child.exited;
  });

  test("a start that fails puts its programs back", () => {
    using elsewhere = makeSubCgroup(sandbox, "elsewhere");
    leaveFirst(elsewhere.path);
    const before = attachedPrograms(elsewhere.path);
    expect(before).toHaveLength(5);
    // The programs take the others' places, and then the agent is found not to be inside.
    expect(() => open({ cgroupPath: elsewhere.path })).toThrow("not inside the cgroup");
    expect(attachedPrograms(elsewhere.path)).toEqual(before);
    expect(readdirSync(PINS)).toEqual(["layout-1-1"]);
  });
});

describe("T-82: what else may be found", () => {
  const kernel = () => unwrap(KernelObjects.open(unwrap(Libbpf.open())));
  const leaveOne = () => {
    const first = open();
    unwrap(first.setEndpoint("imds", true));
    first.leave();
  };
  const replacePin = (name: string, by: string) => {
    const fd = kernel().openPin(join(LAYOUT, by), by.startsWith("map") ? "map" : "link");
    unlinkSync(join(LAYOUT, name));
    unwrap(kernel().pin(fd ?? -1, join(LAYOUT, name)));
  };

  test.each([
    ["a missing map", () => unlinkSync(join(LAYOUT, "map_records")), "other-layout"],
    ["another map under a name", () => replacePin("map_settings", "map_counters"), "other-layout"],
    ["a link where a map should be", () => replacePin("map_guarded", "link_redirect_connect4"), "other-layout"],
    ["a missing link", () => unlinkSync(join(LAYOUT, "link_redirect_connect4")), "same-layout"],
    ["a map where a link should be", () => replacePin("link_redirect_sockops", "map_counters"), "same-layout"],
    ["one link under another's name", () => replacePin("link_redirect_connect4", "link_redirect_connect6"), "same-layout"],
    [
      "a link that was taken off",
      () => {
        const fd = kernel().openPin(join(LAYOUT, "link_redirect_connect4"), "link");
        kernel().detach(fd ?? -1);
      },
      "same-layout",
    ],
    ["a strange folder", () => mkdirSync(join(PINS, "whatever", "deep"), { recursive: true }), "same-layout"],
    ["a half made folder", () => mkdirSync(join(PINS, "staging")), "same-layout"],
    ["an empty folder of our layout", () => unwrap(releasePins(PINS)) && mkdirSync(LAYOUT, { recursive: true, mode: 0o700 }), "none"],
  ] as const)("%s: everything works again and nothing else is left", async (_, spoil, takeover) => {
    leaveOne();
    spoil();
    const next = open();
    expect(next.takeover).toBe(takeover);
    unwrap(next.setEndpoint("imds", true));
    const client = await connectOne();
    expect(recordOf(next, client.connection)).toMatchObject({ processId: client.pid });
    await client.end();
    expect(readdirSync(PINS)).toEqual([NAME]);
    expect(readdirSync(LAYOUT)).toHaveLength(15);
    expect(next.verify(all)).toEqual([]);
  });

  test("links of another cgroup are not ours", async () => {
    using elsewhere = makeSubCgroup(sandbox, "elsewhere");
    elsewhere.enter();
    open({ cgroupPath: elsewhere.path }).leave();
    const next = open();
    expect(next.takeover).toBe("same-layout");
    expect(attachedPrograms(sandbox.cgroupPath)).toHaveLength(5);
    expect(next.verify(new Set())).toEqual([]);
    next[Symbol.dispose]();
    expect(programsLeft(elsewhere.path)).toEqual([]);
  });

  test.each([
    [
      "a folder of another user",
      () => {
        mkdirSync(PINS, { mode: 0o700 });
        chownSync(PINS, 4001, 4001);
      },
    ],
    ["a folder that others may enter", () => mkdirSync(PINS, { mode: 0o755 })],
    ["a link", () => symlinkSync("/tmp", PINS)],
  ] as const)("%s in the place of the pin folder is put aside", (_, make) => {
    make();
    const first = open();
    expect(first.notPinned).toBeUndefined();
    expect(readdirSync(PINS)).toEqual([NAME]);
    for (const name of readdirSync("/sys/fs/bpf").filter((found) => found.startsWith("takeover-"))) {
      const path = join("/sys/fs/bpf", name);
      if (existsSync(path) && statSync(path).dev === statSync("/sys/fs/bpf").dev) rmdirSync(path);
      else unlinkSync(path);
    }
  });

  test("no bpffs: it runs, says why nothing is pinned, and pins as soon as there is one", () => {
    const folder = mkdtempSync(join(tmpdir(), "apa-nobpffs-"));
    try {
      const first = open({ pinFolder: join(folder, "pins") });
      expect(first.notPinned).toContain("want bpffs");
      unwrap(first.setEndpoint("imds", true));
      expect(first.verify(all)).toEqual([]);
      expect(Bun.spawnSync(["mount", "-t", "bpf", "bpf", folder]).exitCode).toBe(0);
      expect(first.verify(all)).toEqual([]);
      expect(first.notPinned).toBeUndefined();
      expect(readdirSync(join(folder, "pins"))).toEqual([NAME]);
      first[Symbol.dispose]();
      expect(readdirSync(join(folder, "pins"))).toEqual([]);
    } finally {
      Bun.spawnSync(["umount", folder]);
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("T-82: what is undone while the agent runs is noticed and put right", () => {
  const link = (name: string) => kernelPin(`link_${name}`, "link");
  function kernelPin(name: string, kind: "map" | "link") {
    const kernel = unwrap(KernelObjects.open(unwrap(Libbpf.open())));
    return { kernel, fd: kernel.openPin(join(LAYOUT, name), kind) ?? -1 };
  }
  const libbpf = () => unwrap(Libbpf.open());

  test.each([
    [
      "a link taken off",
      'program "redirect_connect4" was detached',
      () => {
        const { kernel, fd } = link("redirect_connect4");
        kernel.detach(fd);
      },
    ],
    ["a pin removed", "map_records", () => unlinkSync(join(LAYOUT, "map_records"))],
    ["a link's pin removed", "link_redirect_connect6", () => unlinkSync(join(LAYOUT, "link_redirect_connect6"))],
    [
      "all pins removed",
      "link_redirect_sockops",
      () => {
        for (const name of readdirSync(LAYOUT)) unlinkSync(join(LAYOUT, name));
        rmdirSync(LAYOUT);
        rmdirSync(PINS);
      },
    ],
    [
      "the guarded endpoints emptied",
      'endpoint "imds" was no longer guarded',
      () => {
        const { kernel, fd } = kernelPin("map_guarded", "map");
        for (const key of kernel.keys(fd, 8, 16)) unwrap(libbpf().remove(fd, key, "a key"));
      },
    ],
    [
      "another endpoint guarded",
      'endpoint "wireserver" was guarded by somebody else',
      () => {
        const { fd } = kernelPin("map_guarded", "map");
        unwrap(libbpf().update(fd, new Uint8Array([168, 63, 129, 16, 0, 80, 0, 0]), new Uint8Array(4), "a key"));
      },
    ],
    [
      "a strange address guarded",
      "none of ours",
      () => {
        const { fd } = kernelPin("map_guarded", "map");
        unwrap(libbpf().update(fd, new Uint8Array([9, 9, 9, 9, 0, 80, 0, 0]), new Uint8Array(4), "a key"));
      },
    ],
    [
      "the settings cleared",
      "settings of the programs were changed",
      () => {
        const { fd } = kernelPin("map_settings", "map");
        unwrap(libbpf().update(fd, new Uint8Array(4), new Uint8Array(40), "settings"));
      },
    ],
  ] as const)("%s", async (_, words, undo) => {
    const agent = open();
    unwrap(agent.setEndpoint("imds", true));
    expect(agent.verify(all)).toEqual([]);
    undo();
    const faults = agent.verify(all);
    expect(faults.map(({ what }) => what).join("\n")).toContain(words);
    expect(faults.every(({ repaired }) => repaired)).toBe(true);
    expect(agent.verify(all)).toEqual([]);
    const client = await connectOne();
    expect(recordOf(agent, client.connection)).toMatchObject({ processId: client.pid });
    await client.end();
    expect(readdirSync(LAYOUT)).toHaveLength(15);
  });

  test("bpffs unmounted: told, and put right when it is back", () => {
    const folder = mkdtempSync(join(tmpdir(), "apa-bpffs-"));
    expect(Bun.spawnSync(["mount", "-t", "bpf", "bpf", folder]).exitCode).toBe(0);
    try {
      const agent = open({ pinFolder: join(folder, "pins") });
      unwrap(agent.setEndpoint("imds", true));
      expect(Bun.spawnSync(["umount", folder]).exitCode).toBe(0);
      expect(agent.verify(all)).toMatchObject([{ repaired: false, what: expect.stringContaining("want bpffs") }]);
      expect(Bun.spawnSync(["mount", "-t", "bpf", "bpf", folder]).exitCode).toBe(0);
      const faults = agent.verify(all);
      expect(faults.length).toBeGreaterThan(0);
      expect(faults.every(({ repaired }) => repaired)).toBe(true);
      expect(agent.verify(all)).toEqual([]);
      agent[Symbol.dispose]();
    } finally {
      Bun.spawnSync(["umount", folder]);
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("T-191: programs of ours that are not in the pin folder", () => {
  const OTHER_PINS = `${PINS}-old`;
  const kernel = () => unwrap(KernelObjects.open(unwrap(Libbpf.open())));
  const place = (pinFolder: string) => ({ pinFolder, cgroupPath: sandbox.cgroupPath, listenerPort: door.port });

  async function servesOne(agent: AttachedRedirector): Promise<void> {
    unwrap(agent.setEndpoint("imds", true));
    const client = await connectOne();
    expect(recordOf(agent, client.connection)).toMatchObject({ processId: client.pid });
    await client.end();
    expect(attachedPrograms(sandbox.cgroupPath)).toHaveLength(5);
    expect(agent.verify(all)).toEqual([]);
    expect(door.direct()).toBe(0);
  }

  function leaveElsewhere(): void {
    const old = open({ pinFolder: OTHER_PINS });
    unwrap(old.setEndpoint("imds", true));
    old.leave();
  }

  test("pinned in another folder, they are taken over as they are, with who connected before", async () => {
    leaveElsewhere();
    const waiting = await connectOne();
    const next = open();
    expect([next.takeover, [...next.inherited], readdirSync(PINS), existsSync(OTHER_PINS)]).toEqual([
      "same-layout",
      ["imds"],
      [NAME],
      false,
    ]);
    expect(recordOf(next, waiting.connection)).toMatchObject({ processId: waiting.pid });
    await waiting.end();
    await servesOne(next);
  });

  test("pinned although pins are switched off, they are taken over and unpinned", async () => {
    leaveElsewhere();
    const next = open({ pinFolder: "", ancestorMs: 50 });
    expect([next.takeover, [...next.inherited], existsSync(OTHER_PINS)]).toEqual(["other-layout", ["imds"], false]);
    await Bun.sleep(80);
    await servesOne(next);
    next[Symbol.dispose]();
    expect(attachedPrograms(sandbox.cgroupPath)).toEqual([]);
  });

  test("held by a descriptor alone, they are taken over", async () => {
    leaveElsewhere();
    const held = PROGRAMS.map(({ name }) => kernel().openPin(join(OTHER_PINS, NAME, `link_${name}`), "link") ?? -1);
    rmSync(OTHER_PINS, { recursive: true });
    expect(attachedPrograms(sandbox.cgroupPath)).toHaveLength(5);
    const next = open({ ancestorMs: 50 });
    expect([next.takeover, [...next.inherited]]).toEqual(["other-layout", ["imds"]]);
    await Bun.sleep(80);
    await servesOne(next);
    for (const fd of held) closeSync(fd);
  });

  test("on a cgroup below, they are taken off", async () => {
    using below = makeSubCgroup(sandbox, "below");
    below.enter();
    open({ pinFolder: OTHER_PINS, cgroupPath: below.path }).leave();
    const next = open();
    expect(attachedPrograms(below.path)).toEqual([]);
    await servesOne(next);
  });

  test("appearing while the agent runs, they are noticed and taken off", async () => {
    const agent = open();
    unwrap(agent.setEndpoint("imds", true));
    const libbpf = unwrap(Libbpf.open());
    const object = unwrap(libbpf.load(OBJECT_FILE));
    const cgroup = openSync(sandbox.cgroupPath, "r");
    const links = PROGRAMS.map(({ name, attachType }) =>
      unwrap(kernel().attach(unwrap(libbpf.findProgram(object, name)), cgroup, attachType, name)),
    );
    closeSync(cgroup);
    const faults = agent.verify(all);
    expect(faults).toMatchObject([{ what: expect.stringContaining("programs of another azure-proxy-agent"), repaired: true }]);
    await servesOne(agent);
    for (const fd of links) closeSync(fd);
    libbpf.close(object);
  });

  test("release finds them wherever they are, and proves that they are gone", () => {
    leaveElsewhere();
    const held = kernel().openPin(join(OTHER_PINS, NAME, "link_redirect_connect4"), "link") ?? -1;
    expect(unwrap(releaseRedirect(place(PINS)))).toBe(true);
    expect([attachedPrograms(sandbox.cgroupPath), existsSync(OTHER_PINS)]).toEqual([[], false]);
    expect(unwrap(releaseRedirect(place("")))).toBe(false);
    closeSync(held);
  });

  test("between two agents they are put where the next one looks", () => {
    leaveElsewhere();
    expect(unwrap(gatherRedirect(place(PINS)))).toBe(true);
    expect([readdirSync(PINS), existsSync(OTHER_PINS), attachedPrograms(sandbox.cgroupPath).length]).toEqual([[NAME], false, 5]);
    expect(unwrap(gatherRedirect(place(PINS)))).toBe(false);
  });

  test("what only has our names is left alone", async () => {
    const built = mkdtempSync(join(tmpdir(), "apa-namesake-"));
    const source = join(built, "namesake.bpf.c");
    await Bun.write(
      source,
      `#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, __u64); __type(value, __u32); } guarded SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64[5]); } settings SEC(".maps");
SEC("cgroup/connect4") int redirect_connect4(struct bpf_sock_addr *c) { __u64 k = 1; __u32 z = 0; bpf_map_lookup_elem(&guarded, &k); bpf_map_lookup_elem(&settings, &z); return 1; }
char L[] SEC("license") = "GPL";`,
    );
    const include = `/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
    const compiled = await run(["clang", "-O2", "-g", "-target", "bpf", `-I${include}`, "-c", source, "-o", join(built, "namesake.o")]);
    expect(compiled.stderr).toBe("");
    const libbpf = unwrap(Libbpf.open());
    const object = unwrap(libbpf.load(join(built, "namesake.o")));
    const cgroup = openSync(sandbox.cgroupPath, "r");
    const link = unwrap(kernel().attach(unwrap(libbpf.findProgram(object, "redirect_connect4")), cgroup, ATTACH_TYPE.connect4, "namesake"));
    const before = attachedPrograms(sandbox.cgroupPath);
    try {
      const agent = open();
      expect([agent.takeover, agent.verify(new Set())]).toEqual(["none", []]);
      agent[Symbol.dispose]();
      expect(unwrap(releaseRedirect(place(PINS)))).toBe(false);
      expect(attachedPrograms(sandbox.cgroupPath)).toEqual(before);
    } finally {
      closeSync(link);
      closeSync(cgroup);
      libbpf.close(object);
      rmSync(built, { recursive: true });
    }
  });

  test("--list shows programs, links, maps and pins, and since when", () => {
    // Other tests of this process may still hold programs that are attached to nothing.
    const attached = () =>
      unwrap(listObjects(sandbox.cgroupPath)).filter(
        ({ listenerPort, programs }) => listenerPort === door.port && programs.some(({ attachments }) => attachments.length > 0),
      );
    const agent = open();
    const listed = attached();
    expect(listed).toHaveLength(1);
    const [set] = listed;
    expect(set?.programs.map(({ name }) => name).sort()).toEqual(PROGRAMS.map(({ name }) => name).sort());
    expect(set?.programs.flatMap(({ attachments }) => attachments.map(({ cgroup }) => cgroup))).toEqual(
      PROGRAMS.map(() => sandbox.cgroupPath),
    );
    expect(set?.pins.filter((path) => path.startsWith(LAYOUT))).toHaveLength(15);
    for (const { loadedAt } of set?.programs ?? []) expect(Math.abs(Date.now() - loadedAt.getTime())).toBeLessThan(60_000);
    agent[Symbol.dispose]();
    expect(attached()).toEqual([]);
  });
});
