// What doctor reports about one check, and how all findings are rendered. Checks are pure: facts in, findings out.

export type Health = "ok" | "warn" | "fail";

export interface Finding {
  /** Stable word for scripts, such as `kernel-version`; docs/operations.md lists them. */
  readonly check: string;
  readonly health: Health;
  /** What was found, one line. */
  readonly found: string;
  /** What to do about it; empty when it is fine. */
  readonly advice: string;
}

export function fine(check: string, found: string): Finding {
  return { check, health: "ok", found, advice: "" };
}

/** Protection or service is degraded, or could not be checked. */
export function doubtful(check: string, found: string, advice: string): Finding {
  return { check, health: "warn", found, advice };
}

/** The agent cannot work, or does not protect, as long as this is so. */
export function broken(check: string, found: string, advice: string): Finding {
  return { check, health: "fail", found, advice };
}

/** The worst word of all. */
export function worstOf(findings: readonly Finding[]): Health {
  if (findings.some(({ health }) => health === "fail")) return "fail";
  return findings.some(({ health }) => health === "warn") ? "warn" : "ok";
}

const WORD: Readonly<Record<Health, string>> = { ok: "OK  ", warn: "WARN", fail: "FAIL" };

/** One line per finding, the advice on a line below, then a line that counts. */
export function renderFindings(findings: readonly Finding[]): readonly string[] {
  const width = Math.max(0, ...findings.map(({ check }) => check.length));
  const lines = findings.flatMap(({ check, health, found, advice }) => [
    `${WORD[health]}  ${check.padEnd(width)}  ${found}`,
    ...(advice === "" ? [] : [`${" ".repeat(width + 8)}-> ${advice}`]),
  ]);
  const count = (health: Health) => findings.filter((finding) => finding.health === health).length;
  return [...lines, `${count("ok")} ok, ${count("warn")} warn, ${count("fail")} fail`];
}
