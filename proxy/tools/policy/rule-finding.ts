// What a check of rules finds: how bad it is, what kind, and where in the file.

/** `error`: the agent refuses it, or a name leads nowhere. `warning`: it hardly does what its author meant. `note`: good to know. */
export const FINDING_LEVELS = ["error", "warning", "note"] as const;

export type FindingLevel = (typeof FINDING_LEVELS)[number];

export interface Finding {
  readonly level: FindingLevel;
  /** Stable word. */
  readonly kind: string;
  /** JSON pointer into the file. */
  readonly pointer: string;
  readonly message: string;
  /** For what the agent's parser refuses. */
  readonly found?: string;
  readonly wanted?: string;
}
