// The guard of every test that speaks to the kernel: it runs inside scripts/sandbox or fails and says so. Nothing here may
// attach, connect or create anything outside of the sandbox.

import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Sandbox {
  /** Path of the cgroup the test runs in; programs may be attached to it and to cgroups made below it. */
  readonly cgroupPath: string;
  /** Name of the network namespace, as `ip netns` lists it. */
  readonly namespace: string;
}

/** The sandbox this process runs in. Throws outside of one: such a test must fail, not pass without having looked. */
export function requireSandbox(): Sandbox {
  const { SANDBOX_CGROUP: cgroupPath, SANDBOX_NETNS: namespace } = process.env;
  if (cgroupPath === undefined || namespace === undefined) {
    throw new Error(`this test needs a sandbox; run it as root with: scripts/sandbox bun test ${process.argv[1] ?? "FILE"}`);
  }
  const own = readFileSync("/proc/self/cgroup", "utf8")
    .split("\n")
    .find((line) => line.startsWith("0::"))
    ?.slice("0::".length);
  const name = cgroupPath.slice(cgroupPath.lastIndexOf("/") + 1);
  if (own === undefined || !own.split("/").includes(name)) {
    throw new Error(`this test needs a sandbox: it runs in cgroup "${own}", want "${cgroupPath}" as SANDBOX_CGROUP says`);
  }
  return { cgroupPath, namespace };
}

/** A cgroup below the sandbox's. Disposing moves this process out of it and removes it; its other processes must have ended. */
export function makeSubCgroup(sandbox: Sandbox, name: string): { readonly path: string; enter(): void } & Disposable {
  const path = join(sandbox.cgroupPath, name);
  mkdirSync(path);
  return {
    path,
    enter: () => writeFileSync(join(path, "cgroup.procs"), String(process.pid)),
    [Symbol.dispose]: () => {
      writeFileSync(join(sandbox.cgroupPath, "cgroup.procs"), String(process.pid));
      rmdirSync(path);
    },
  };
}

/** Descriptors of eBPF programs, maps, links and type information that this process holds. */
export function countBpfDescriptors(): number {
  return readdirSync("/proc/self/fd").filter((fd) => /^anon_inode:\[?(bpf|btf)/.test(linkOf(`/proc/self/fd/${fd}`))).length;
}

/** Where a link leads; empty when it is gone, like the descriptor that listed the folder. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
