// The aggregate status as its readers know it: status.json and /gpa-aggregated-status. Member names and module states are a
// contract with the platform's tools; our additions are under "agentDetails".

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

/** One kind of request that rules deny: who, what, why, how often. Texts are cut; an unknown user or program is "". */
export interface DenialStatusEntry {
  readonly endpoint: string;
  readonly ruleSetId: string;
  readonly reason: string;
  readonly rule: string;
  readonly userName: string;
  readonly processFullPath: string;
  /** First two canonical segments. */
  readonly path: string;
  /** Seen for certain. */
  readonly count: number;
  /** At most this many more were counted in `other`. */
  readonly missedAtMost: number;
  /** ISO 8601, UTC; "" when unknown. */
  readonly firstSeen: string;
  readonly lastSeen: string;
  readonly exampleMethod: string;
  /** Without the values of query parameters. */
  readonly exampleUrl: string;
  readonly exampleProcessId: number;
}

/** What rules denied, or would have denied. */
export interface DenialStatus {
  /** ISO 8601, UTC: since when was counted; "" when unknown. */
  readonly since: string;
  /** Exact. */
  readonly total: number;
  /** Those of the total that no entry shows. */
  readonly other: number;
  /** Most first. */
  readonly entries: readonly DenialStatusEntry[];
}

const MAX_MESSAGE_CHARACTERS = 1024;

/** Cuts a message on a character boundary and marks the cut. */
export function cutMessage(text: string): string {
  return cutText(text, MAX_MESSAGE_CHARACTERS);
}

/** At most so many characters, the last three being dots when something was cut; never half of a character. */
export function cutText(text: string, maxCharacters: number): string {
  if (text.length <= maxCharacters) return text;
  // A character is one or two code units: this much is enough to see whether to cut, however long the text is.
  const head = text.slice(0, 2 * maxCharacters + 1);
  const characters = [...head];
  return head.length === text.length && characters.length <= maxCharacters ? text : `${characters.slice(0, maxCharacters - 3).join("")}...`;
}
