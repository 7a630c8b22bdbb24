// How a part of the agent (telemetry, audit trail, kernel checks, policy modules, …) reports in the status: a member of `agentDetails`
// under its own name, and its health. The status reporter queries all parts each time a status is made.

/** `failed`: the agent does not do what it promises, the whole status is `ERROR`. `degraded`: it does, but a secondary function fails. */
export type Health = "ok" | "degraded" | "failed";

export interface PartReport {
  readonly health: Health;
  /** One sentence for people when the health is not `ok`; with a `module` also what that module says while it is. No secrets, no host answers. */
  readonly message: string;
  /** The member of `agentDetails`, plain JSON; undefined: none. */
  readonly details: Readonly<Record<string, unknown>> | undefined;
}

export interface StatusPart {
  /** The member's name in `agentDetails`, such as `telemetry`. */
  readonly name: string;
  /** A module of the platform's shape for which this part speaks too: `RUNNING`, or `STOPPED` when it failed. */
  readonly module?: "ebpfProgramStatus" | "proxyListenerStatus" | "telemetryLoggerStatus";
  /** Cheap: it is called for every status, between requests. */
  report(): PartReport;
}
