// Attaching, switching, detaching and failing: what the redirector promises before, after and instead of redirecting.

import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RedirectorOptions } from "../../proxy/adapters/ebpf/attachment.ts";
import { openRedirector } from "../../proxy/adapters/ebpf/redirector.ts";
import { ATTACH_TYPE, type AttachedProgram, attachedPrograms, isProgramLoaded } from "../support/attached-programs.ts";
import { type Answer, OBJECT_FILE, OBJECT_FILE_WITHOUT_BTF, openStage, python, run, unwrap } from "../support/redirected-listener.ts";
import { countBpfDescriptors, makeSubCgroup, requireSandbox } from "../support/sandbox.ts";

const sandbox = requireSandbox();

function optionsWith(changes: Partial<RedirectorOptions>): RedirectorOptions {
  return {
    objectFile: OBJECT_FILE,
    objectFileWithoutBtf: OBJECT_FILE_WITHOUT_BTF,
    cgroupPath: sandbox.cgroupPath,
    listenerPort: 3080,
    passForeignNamespaces: false,
    pinFolder: "",
    ...changes,
  };
}

function attachedTo(cgroupPath = sandbox.cgroupPath): readonly AttachedProgram[] {
  return attachedPrograms(cgroupPath);
}

/** A plain service at the guarded address, as the host would be. */
function openHost() {
  return Bun.listen({ hostname: "169.254.169.254", port: 80, socket: { open: (socket) => void socket.end("the host"), data() {} } });
}

const READ = "s.settimeout(5); say(s.recv(100).decode())";

describe("openRedirector", () => {
  test("attaches five programs, pins executables and guards nothing yet", async () => {
    using stage = openStage([]);
    using _host = openHost();
    const { sockOps, connect4, connect6, getpeername4, getpeername6 } = ATTACH_TYPE;
    expect(attachedTo().map(({ attachType }) => attachType)).toEqual([sockOps, connect4, connect6, getpeername4, getpeername6]);
    expect(stage.redirector).toMatchObject({ pinsExecutable: true, unpinnedReason: undefined, kernelProcessId: process.pid });
    expect(await python(stage, `s = tcp(); s.connect(IMDS); ${READ}`)).toEqual(["the host"]);
    expect(stage.counters().redirected).toBe(0n);
  });

  test("leaves nothing behind when disposed, twice", async () => {
    expect(attachedTo()).toEqual([]);
    const descriptors = countBpfDescriptors();
    const redirector = unwrap(openRedirector(optionsWith({})));
    const programs = attachedTo();
    expect(programs.length).toBe(5);
    expect(countBpfDescriptors()).toBeGreaterThan(descriptors + 10);
    redirector[Symbol.dispose]();
    redirector[Symbol.dispose]();
    expect(attachedTo()).toEqual([]);
    expect(countBpfDescriptors()).toBe(descriptors);
    // The kernel frees them after a grace period.
    for (const program of programs) {
      for (let tries = 0; tries < 100 && isProgramLoaded(program.id); tries += 1) await Bun.sleep(20);
      expect(isProgramLoaded(program.id)).toBe(false);
    }
  });

  test("answers errors once it is disposed", () => {
    const redirector = unwrap(openRedirector(optionsWith({})));
    redirector[Symbol.dispose]();
    for (const result of [
      redirector.setEndpoint("imds", true),
      redirector.setEndpoint("imds", false),
      redirector.originOf({ address: "127.0.0.1", port: 1, descriptor: 0 }),
      redirector.counters(),
    ]) {
      expect(result).toMatchObject({ ok: false, error: { kind: "map-failed", message: "cannot use the redirector: it is closed" } });
    }
  });

  test("can be opened and disposed again and again without leaking descriptors", () => {
    const descriptors = countBpfDescriptors();
    for (let round = 0; round < 10; round += 1) unwrap(openRedirector(optionsWith({})))[Symbol.dispose]();
    expect(countBpfDescriptors()).toBe(descriptors);
  });
});

describe("switching an endpoint", () => {
  test("off lets it go direct again, and doing either twice changes nothing", async () => {
    using stage = openStage(["imds"]);
    using _host = openHost();
    const [first] = (await python(stage, "s = tcp(); s.connect(IMDS); say(ask(s))")) as [Answer];
    expect(first.record).not.toBeNull();
    unwrap(stage.redirector.setEndpoint("imds", false));
    unwrap(stage.redirector.setEndpoint("imds", false));
    expect(await python(stage, `s = tcp(); s.connect(IMDS); ${READ}`)).toEqual(["the host"]);
    unwrap(stage.redirector.setEndpoint("imds", true));
    unwrap(stage.redirector.setEndpoint("imds", true));
    const [last] = (await python(stage, "s = tcp(); s.connect(IMDS); say(ask(s))")) as [Answer];
    expect(last.record).not.toBeNull();
    expect(stage.counters()).toMatchObject({ redirected: 2n });
  });

  test("on for one leaves the others direct", async () => {
    using stage = openStage(["wireserver"]);
    using _host = openHost();
    expect(await python(stage, `s = tcp(); s.connect(IMDS); ${READ}`)).toEqual(["the host"]);
  });
});

test("the agent's own connects are exempt and counted; its children's are not", async () => {
  using stage = openStage(["imds"]);
  using _host = openHost();
  const { promise, resolve } = Promise.withResolvers<string>();
  await Bun.connect({ hostname: "169.254.169.254", port: 80, socket: { data: (_, data) => resolve(data.toString()) } });
  expect(await promise).toBe("the host");
  expect(stage.counters()).toMatchObject({ exempt: 1n, redirected: 0n });
  const [child] = (await python(stage, "s = tcp(); s.connect(IMDS); say(ask(s))")) as [Answer];
  expect(child.record).not.toBeNull();
  expect(stage.counters()).toMatchObject({ exempt: 1n, redirected: 1n });
});

test("two redirectors in two cgroups each see their own callers only", async () => {
  using left = makeSubCgroup(sandbox, "left");
  using right = makeSubCgroup(sandbox, "right");
  left.enter();
  using first = openStage(["imds"], { cgroupPath: left.path });
  right.enter();
  using second = openStage(["imds"], { cgroupPath: right.path });
  const ask = "s = tcp(); s.connect(IMDS); say(ask(s))";
  left.enter();
  const [fromLeft] = (await python(first, ask)) as [Answer];
  right.enter();
  const [fromRight] = (await python(second, ask)) as [Answer];
  expect(fromLeft.record?.cgroupId).not.toBe(fromRight.record?.cgroupId ?? "");
  expect([first.accepted(), second.accepted()]).toEqual([1, 1]);
  expect([first.counters().redirected, second.counters().redirected]).toEqual([1n, 1n]);
});

describe("what makes it fail, and what it says", () => {
  test("a listening socket that was made outside of the cgroup is found out, one from inside is not", async () => {
    const listen = () => Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const openAt = (cgroupPath: string, listenerPort: number) =>
      unwrap(
        openRedirector({
          objectFile: OBJECT_FILE,
          objectFileWithoutBtf: OBJECT_FILE_WITHOUT_BTF,
          cgroupPath,
          listenerPort,
          passForeignNamespaces: false,
          pinFolder: "",
        }),
      );
    using outside = listen();
    using cgroup = makeSubCgroup(sandbox, "listener");
    cgroup.enter();
    using inside = listen();
    {
      using redirector = openAt(cgroup.path, outside.port);
      expect(await redirector.provesListener()).toMatchObject({
        ok: false,
        error: { kind: "attach-failed", message: expect.stringContaining(`made outside of the cgroup "${cgroup.path}"`) },
      });
    }
    using redirector = openAt(cgroup.path, inside.port);
    expect(await redirector.provesListener()).toEqual({ ok: true, value: undefined });
  });

  const scratch = (bytes: Uint8Array) => {
    const folder = mkdtempSync(join(tmpdir(), "redirector-"));
    const path = join(folder, "object.o");
    writeFileSync(path, bytes);
    return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
  };
  const failWith = (changes: Partial<RedirectorOptions>) => {
    const opened = openRedirector(optionsWith(changes));
    if (!opened.ok) return opened.error;
    opened.value[Symbol.dispose]();
    throw new Error("want a failure, found an open redirector");
  };

  test("an object file that does not exist", () => {
    const error = failWith({ objectFile: "/nonexistent/redirect.bpf.o" });
    expect(error).toMatchObject({ kind: "object-unreadable", errno: 2 });
    expect(error.message).toContain('cannot read eBPF object "/nonexistent/redirect.bpf.o": No such file or directory (ENOENT)');
  });

  test.each([
    ["empty", 0],
    ["cut short", 9000],
  ])("an object file that is %s", (_, bytes) => {
    using object = scratch(readFileSync(OBJECT_FILE).subarray(0, bytes));
    const error = failWith({ objectFile: object.path });
    expect(error.kind).toBe("object-unreadable");
    expect(error.message).toContain(`cannot read eBPF object "${object.path}": `);
    expect(error.message).toContain("libbpf: ");
  });

  /** The object with "r0 = 1; exit" turned into "r0 = 7; exit" everywhere: no hook may answer that. */
  const refusedObject = () => {
    const bytes = readFileSync(OBJECT_FILE);
    const find = Buffer.from("b4000000010000009500000000000000", "hex");
    const wrong = Buffer.from("b4000000070000009500000000000000", "hex");
    let replaced = 0;
    for (let at = bytes.indexOf(find); at >= 0; at = bytes.indexOf(find, at + 1)) {
      wrong.copy(bytes, at);
      replaced += 1;
    }
    expect(replaced).toBeGreaterThan(0);
    return scratch(bytes);
  };

  test("programs that the verifier refuses, with the verifier's last lines", async () => {
    using object = refusedObject();
    const error = failWith({ objectFile: object.path, objectFileWithoutBtf: object.path });
    expect(error).toMatchObject({ kind: "load-failed", errno: 22 });
    expect(error.message).toContain("Invalid argument (EINVAL)");
    expect(error.message).toMatch(/At program exit the register R0 has .*/);
    expect(attachedTo()).toEqual([]);
  });

  test("only the object that reads kernel fields: then it runs without them and says why", async () => {
    using object = refusedObject();
    using stage = openStage(["imds"], { objectFile: object.path });
    expect(stage.redirector.pinsExecutable).toBe(false);
    expect(stage.redirector.unpinnedReason).toContain(
      `cannot load eBPF object "${object.path}" into the kernel: Invalid argument (EINVAL)`,
    );
    const [answer] = (await python(stage, "s = tcp(); s.connect(IMDS); say(ask(s))")) as [Answer];
    expect(answer.record).toMatchObject({ realUid: 0, comm: "python3" });
    expect(answer.record).not.toHaveProperty("executable");
  });

  test("a cgroup that does not exist", () => {
    const error = failWith({ cgroupPath: `${sandbox.cgroupPath}/nothing` });
    expect(error.kind).toBe("cgroup-missing");
    expect(error.message).toContain(`cannot open cgroup "${sandbox.cgroupPath}/nothing"`);
  });

  test("a folder that is no cgroup", () => {
    expect(failWith({ cgroupPath: "/tmp" })).toMatchObject({ kind: "cgroup-missing" });
  });

  test("a cgroup that the agent is not in", async () => {
    using elsewhere = makeSubCgroup(sandbox, "elsewhere");
    const descriptors = countBpfDescriptors();
    const error = failWith({ cgroupPath: elsewhere.path });
    expect(error.kind).toBe("self-exempt-failed");
    expect(error.message).toContain(`the agent is not inside the cgroup "${elsewhere.path}"; start it there`);
    expect(attachedTo(elsewhere.path)).toEqual([]);
    expect(countBpfDescriptors()).toBe(descriptors);
  });
});

/** Opens a redirector in a process of its own and prints what it says about itself and about one caller. */
const IN_ANOTHER_PROCESS = `
  import { openStage, python } from ${JSON.stringify(join(import.meta.dir, "../support/redirected-listener.ts"))};
  using stage = openStage(["imds"]);
  const [answer] = await python(stage, "s = tcp(); s.connect(IMDS); say(ask(s))");
  const { pinsExecutable, unpinnedReason, kernelProcessId } = stage.redirector;
  console.log(JSON.stringify({ pinsExecutable, unpinnedReason, kernelProcessId, pid: process.pid, answer }));`;

async function inAnotherProcess(prefix: readonly string[]) {
  const { SANDBOX_CGROUP = "", SANDBOX_NETNS = "" } = process.env;
  const finished = await run([...prefix, process.execPath, "-e", IN_ANOTHER_PROCESS], { SANDBOX_CGROUP, SANDBOX_NETNS });
  if (finished.code !== 0) throw new Error(finished.stderr);
  return JSON.parse(finished.stdout) as {
    pinsExecutable: boolean;
    unpinnedReason?: string;
    kernelProcessId: number;
    pid: number;
    answer: Answer;
  };
}

test("without kernel BTF it redirects and identifies, and says that executables are not pinned", async () => {
  expect(existsSync("/sys/kernel/btf/vmlinux")).toBe(true);
  const hidden = ["unshare", "--mount", "--", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh"];
  const { pinsExecutable, unpinnedReason, answer } = await inAnotherProcess(hidden);
  expect(pinsExecutable).toBe(false);
  expect(unpinnedReason).toContain("no BTF");
  expect(answer.record).toMatchObject({ realUid: 0, realGid: 0, comm: "python3", destinationAddress: "169.254.169.254" });
  for (const field of ["startTimeNs", "effectiveUid", "effectiveGid", "executable"]) expect(answer.record).not.toHaveProperty(field);
});

test("in a pid namespace of its own it exempts itself by the number the kernel knows", async () => {
  const { kernelProcessId, pid, answer } = await inAnotherProcess(["unshare", "--pid", "--fork", "--mount-proc", "--"]);
  expect(pid).toBeLessThan(10);
  expect(kernelProcessId).toBeGreaterThan(10);
  expect(answer.record).not.toBeNull();
});

test("without libbpf it says which package to install", async () => {
  const known = await run(["ldconfig", "-p"]);
  const path = /libbpf\.so\.1 .* => (\S+)/.exec(known.stdout)?.[1];
  if (path === undefined) throw new Error("libbpf.so.1 is not installed; install the package libbpf1");
  const hidden = ["unshare", "--mount", "--", "sh", "-c", `mount --bind /dev/null ${path} && exec "$@"`, "sh"];
  await expect(inAnotherProcess(hidden)).rejects.toThrow('cannot load "libbpf.so.1": not found; install the package libbpf1');
});
