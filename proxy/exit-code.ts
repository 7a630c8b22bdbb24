// Exit codes, as sysexits(3) names them where it has a name. docs/operations.md has the action for each.

export const EXIT = {
  ok: 0,
  /** Negative result of a tool: rules that are wrong, a proof that failed, nothing found. */
  failed: 1,
  /** Wrong command line. */
  usage: 64,
  /** An input file cannot be read. */
  noInput: 66,
  /** A bug of ours. */
  software: 70,
  /** An output file cannot be written. */
  cannotCreate: 73,
  /** The listener's port is taken, or another resource that may be free later. */
  temporary: 75,
  /** A capability is missing: not root, no cgroup2, no eBPF, no libbpf. */
  capability: 77,
  /** The config cannot be used. */
  config: 78,
} as const;
