// Limits of tests that compute a lot or start processes. They take seconds at most; the limit is for a machine on which a dozen others run.

export const BUSY_MACHINE_MS = 240_000;
