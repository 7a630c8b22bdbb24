// Was this program started by a service manager, or did somebody type its name? The reference's unit starts it without a command; a
// shell must never start a daemon that way. Reads the environment it is given, nothing else.

/** What a service manager leaves in the environment of what it starts, and of all that this starts in turn. */
const INHERITED = ["INVOCATION_ID", "NOTIFY_SOCKET", "LISTEN_FDS"] as const;

export interface StartFacts {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  /** One of standard input, output and error is a terminal. */
  readonly hasTerminal: boolean;
}

/**
 * systemd (248 and newer) names the process it started in SYSTEMD_EXEC_PID, and the one a socket is for in LISTEN_PID: exact. Login
 * shells, CI jobs and scripts of cloud-init inherit the other variables from the service they run in, so those count only where no
 * variable names a process and no terminal is there.
 */
export function isStartedByServiceManager({ environment, pid, hasTerminal }: StartFacts): boolean {
  const named = [environment.SYSTEMD_EXEC_PID, environment.LISTEN_PID].filter((text) => text !== undefined && text !== "");
  if (named.length > 0) return named.includes(String(pid));
  return !hasTerminal && INHERITED.some((name) => (environment[name] ?? "") !== "");
}
