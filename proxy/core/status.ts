// The aggregate status as its readers know it: status.json and /gpa-aggregated-status. Member names and module states are a
// contract with the platform's tools; what is ours alone stands under "agentDetails".

export interface ModuleStatus {
  readonly status: "RUNNING" | "STOPPED" | "UNKNOWN";
  readonly message: string;
  readonly states?: Readonly<Record<string, string>>;
}

export interface ConnectionSummary {
  readonly userName: string;
  readonly ip: string;
  readonly port: number;
  readonly processCmdLine: string;
  readonly responseStatus: string;
  readonly count: number;
  readonly userGroups: readonly string[];
  readonly processFullPath: string;
}

export interface AggregateStatus {
  /** UTC with milliseconds and no zone letter, as the platform's readers parse it. */
  readonly timestamp: string;
  readonly proxyAgentStatus: {
    readonly version: string;
    readonly status: "SUCCESS" | "ERROR";
    readonly monitorStatus: ModuleStatus;
    readonly keyLatchStatus: ModuleStatus;
    readonly ebpfProgramStatus: ModuleStatus;
    readonly proxyListenerStatus: ModuleStatus;
    readonly telemetryLoggerStatus: ModuleStatus;
    readonly proxyConnectionsCount: number;
  };
  readonly proxyConnectionSummary: readonly ConnectionSummary[];
  readonly failedAuthenticateSummary: readonly ConnectionSummary[];
  readonly agentDetails: Readonly<Record<string, unknown>>;
}

const MAX_MESSAGE_CHARACTERS = 1024;

/** Cuts a message on a character boundary and marks the cut. */
export function cutMessage(text: string): string {
  const characters = [...text];
  return characters.length <= MAX_MESSAGE_CHARACTERS ? text : `${characters.slice(0, MAX_MESSAGE_CHARACTERS - 3).join("")}...`;
}
