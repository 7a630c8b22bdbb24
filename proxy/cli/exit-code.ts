// Exit codes, as sysexits(3) names them where it has a name. docs/operations.md tells what to do for each.

export const EXIT = {
  ok: 0,
  /** Wrong command line. */
  usage: 64,
  /** A bug of ours. */
  software: 70,
  /** The listener's port is taken, or another resource that may be free later. */
  temporary: 75,
  /** A capability is missing: not root, no cgroup2, no eBPF, no libbpf. */
  capability: 77,
  /** The config cannot be used. */
  config: 78,
} as const;
