// Can this kernel run the redirect: version, machine, BTF, cgroup2, bpffs, libbpf, rights of this process?

import { broken, doubtful, type Finding, fine } from "./finding.ts";

export interface KernelFacts {
  /** /proc/sys/kernel/osrelease, such as `6.8.0-1018-azure`. */
  readonly release: string;
  /** As uname -m says it. */
  readonly machine: string;
  readonly btf: { readonly kind: "readable" | "missing" } | { readonly kind: "unreadable"; readonly why: string };
  /** /sys/kernel/security/lockdown, such as `none [integrity] confidentiality`; undefined when there is none. */
  readonly lockdown: string | undefined;
  /** Mount point of the root of the cgroup2 hierarchy, or why there is none, in words. */
  readonly cgroup: { readonly ok: true; readonly path: string } | { readonly ok: false; readonly why: string };
  /** cgroup version 1 controllers that are mounted, such as `net_cls`. */
  readonly cgroup1Controllers: readonly string[];
  readonly bpffsMounted: boolean;
  /** Undefined: it can be loaded; else why not. */
  readonly libbpfTrouble: string | undefined;
  readonly isRoot: boolean;
}

const OLDEST = { major: 5, minor: 15 };
/** Where these tag sockets under version 1, old kernels detach them from the cgroup2 hierarchy that the programs hang on. */
const DETACHING_CONTROLLERS = ["net_cls", "net_prio"];

export function checkKernel(facts: KernelFacts): readonly Finding[] {
  return [
    checkRoot(facts.isRoot),
    checkVersion(facts),
    checkMachine(facts.machine),
    facts.libbpfTrouble === undefined
      ? fine("libbpf", "libbpf.so.1 loads")
      : broken("libbpf", facts.libbpfTrouble, "install the package libbpf1"),
    checkBtf(facts),
    ...checkCgroup(facts),
    facts.bpffsMounted
      ? fine("bpffs", "a BPF file system is mounted")
      : doubtful(
          "bpffs",
          "no BPF file system is mounted",
          "mount it (mount -t bpf bpf /sys/fs/bpf): without it the redirect does not outlive the agent's process",
        ),
  ];
}

function checkRoot(isRoot: boolean): Finding {
  return isRoot
    ? fine("rights", "running as root")
    : doubtful("rights", "not running as root", "run doctor as root: many checks see nothing otherwise");
}

function checkVersion({ release }: KernelFacts): Finding {
  const match = /^([0-9]+)\.([0-9]+)/.exec(release);
  const found = `Linux ${release}`;
  if (match === null) return doubtful("kernel-version", `${found}: unreadable`, "want 5.15 or newer");
  const [major, minor] = [Number(match[1]), Number(match[2])];
  const enough = major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor);
  return enough ? fine("kernel-version", found) : broken("kernel-version", found, "install a kernel of 5.15 or newer");
}

function checkMachine(machine: string): Finding {
  return ["x86_64", "aarch64"].includes(machine)
    ? fine("machine", machine)
    : broken("machine", machine, "the agent runs on x86_64 and aarch64 only");
}

function checkBtf({ btf, lockdown }: KernelFacts): Finding {
  const advice = "executables and effective user ids of callers stay unknown, so rules that name them never match; boot a kernel with BTF";
  if (btf.kind === "missing") return doubtful("btf", "no /sys/kernel/btf/vmlinux", advice);
  if (btf.kind === "unreadable")
    return doubtful("btf", btf.why, "executables and effective user ids of callers stay unknown, so rules that name them never match");
  if (lockdown?.includes("[confidentiality]") === true)
    return doubtful(
      "btf",
      "kernel lockdown is in mode confidentiality",
      "programs may not read kernel fields in it: boot with lockdown=integrity",
    );
  return fine("btf", "/sys/kernel/btf/vmlinux can be read");
}

function checkCgroup({ cgroup, cgroup1Controllers }: KernelFacts): readonly Finding[] {
  if (!cgroup.ok)
    return [
      broken("cgroup2", cgroup.why, "boot with systemd.unified_cgroup_hierarchy=1, or mount it: mount -t cgroup2 none /sys/fs/cgroup"),
    ];
  const detaching = cgroup1Controllers.filter((name) => DETACHING_CONTROLLERS.includes(name));
  if (detaching.length === 0) return [fine("cgroup2", `its root is mounted at ${cgroup.path}`)];
  return [
    doubtful(
      "cgroup2",
      `its root is mounted at ${cgroup.path}, and version 1 has ${detaching.join(" and ")}`,
      "programs that use these can take their sockets out of the redirect on old kernels; boot with systemd.unified_cgroup_hierarchy=1",
    ),
  ];
}
