// Programs of others at our hooks, attached in the ways in which the kernel lets no second one in. Made with libbpf itself: bpftool is
// not everywhere. Needs root and the sandbox.

import { dlopen, FFIType } from "bun:ffi";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KernelObjects } from "../../proxy/adapters/ebpf/kernel-objects.ts";
import { Libbpf, type LoadedObject } from "../../proxy/adapters/ebpf/libbpf.ts";
import { openRedirector } from "../../proxy/adapters/ebpf/redirector.ts";
import { ATTACH_TYPE } from "../support/attached-programs.ts";
import { OBJECT_FILE, OBJECT_FILE_WITHOUT_BTF, run, unwrap } from "../support/redirected-listener.ts";
import { makeSubCgroup, requireSandbox } from "../support/sandbox.ts";
import { AGENT, runProgram, World } from "../support/world.ts";

const sandbox = requireSandbox();
const FLAGS = { single: 0, override: 1, multi: 2 } as const;
const SOURCE = `#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("cgroup/connect4") int other(struct bpf_sock_addr *c) { return 1; }
char LICENSE[] SEC("license") = "GPL";`;
const libbpf = dlopen("libbpf.so.1", {
  bpf_prog_attach: { args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.u32], returns: FFIType.i32 },
});
let folder = "";
let object: LoadedObject | undefined;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "apa-other-"));
  writeFileSync(join(folder, "other.c"), SOURCE);
  const include = `/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
  const out = join(folder, "other.o");
  const built = await run(["clang", "-O2", "-g", "-target", "bpf", `-I${include}`, "-c", join(folder, "other.c"), "-o", out]);
  if (built.code !== 0) throw new Error(built.stderr);
  object = unwrap(unwrap(Libbpf.open()).load(out));
});
afterAll(() => {
  if (object !== undefined) unwrap(Libbpf.open()).close(object);
  libbpf.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Attaches the program without a link, as older tools do; disposing takes it off. */
function attachOther(cgroupPath: string, flags: number): Disposable & { readonly id: number } {
  if (object === undefined) throw new Error("the program was not built");
  const kernel = unwrap(KernelObjects.open(unwrap(Libbpf.open())));
  const program = unwrap(unwrap(Libbpf.open()).findProgram(object, "other"));
  const cgroup = openSync(cgroupPath, "r");
  expect(libbpf.symbols.bpf_prog_attach(program, cgroup, ATTACH_TYPE.connect4, flags)).toBe(0);
  return {
    id: kernel.programId(program) ?? 0,
    [Symbol.dispose]: () => {
      kernel.detachProgram(program, cgroup, ATTACH_TYPE.connect4);
      closeSync(cgroup);
    },
  };
}

function open(cgroupPath: string) {
  return openRedirector({
    ...{ objectFile: OBJECT_FILE, objectFileWithoutBtf: OBJECT_FILE_WITHOUT_BTF, cgroupPath },
    ...{ listenerPort: 4080, passForeignNamespaces: false, pinFolder: "" },
  });
}

test.each(["single", "override"] as const)("T-195: attached with %p it keeps ours out, and the error names it", (mode) => {
  using other = attachOther(sandbox.cgroupPath, FLAGS[mode]);
  const opened = open(sandbox.cgroupPath);
  expect(opened.ok).toBe(false);
  expect(opened.ok ? "" : opened.error.message).toMatch(
    new RegExp(
      `EPERM\\): program "other" \\(id ${other.id}\\) is attached to "${sandbox.cgroupPath}" at connect4 .*"multi".*bpftool cgroup detach`,
    ),
  );
});

test("T-195: attached above our cgroup it is named, too", () => {
  using below = makeSubCgroup(sandbox, "below");
  below.enter();
  using _ = attachOther(sandbox.cgroupPath, FLAGS.single);
  const opened = open(below.path);
  expect(opened.ok ? "" : opened.error.message).toContain(`is attached to "${sandbox.cgroupPath}" at connect4`);
});

test("attached with multi it is no hindrance", () => {
  using _ = attachOther(sandbox.cgroupPath, FLAGS.multi);
  unwrap(open(sandbox.cgroupPath))[Symbol.dispose]();
});

test("T-195: the agent's exit message and doctor name it, and what to do", async () => {
  await using world = await World.start();
  await world.agent.stop();
  await runProgram([AGENT, "release", "--config", world.configPath]);
  using other = attachOther(sandbox.cgroupPath, FLAGS.single);
  const { code, stdout, stderr } = await runProgram([AGENT, "--config", world.configPath]);
  expect(code).toBe(77);
  expect(stdout + stderr).toContain(`(id ${other.id}) is attached to`);
  const doctor = await runProgram([AGENT, "doctor", "--config", world.configPath]);
  expect(doctor.stdout).toMatch(new RegExp(`FAIL  programs +program "other" \\(id ${other.id}\\)`));
  expect(doctor.stdout).toContain("bpftool cgroup detach");
});
