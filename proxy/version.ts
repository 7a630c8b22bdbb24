// The version of this program, as the package has it.

declare const AGENT_VERSION: string | undefined;

/** Set at build time; a checkout run by bun says so. */
export const VERSION = typeof AGENT_VERSION === "string" ? AGENT_VERSION : "0.0.0-checkout";
