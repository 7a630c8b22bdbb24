// Are the agent's folders and files root's alone, as far as they must be? And do local rule files read as rules?

import { broken, doubtful, type Finding, fine } from "./finding.ts";

export type FileFacts =
  | { readonly kind: "missing" | "unreadable"; readonly path: string }
  | {
      readonly kind: "file" | "folder" | "link" | "other";
      readonly path: string;
      readonly uid: number;
      /** Permission bits. */
      readonly mode: number;
    };

export interface FileWish {
  readonly check: string;
  readonly kind: "file" | "folder";
  /** Bits that must not be set. */
  readonly forbidden: number;
  /** What the agent makes by itself may be missing. */
  readonly missing: "fine" | "warn" | "fail";
}

/** Key material: only root may read it. */
export const SECRET = 0o077;
/** What decides or runs: others may read, none but root may write. */
export const TRUSTED = 0o022;

export function checkFile(found: FileFacts, wish: FileWish): Finding {
  const { check } = wish;
  if (found.kind === "unreadable") return doubtful(check, `cannot look at ${found.path}`, "run doctor as root");
  if (found.kind === "missing") {
    if (wish.missing === "fine") return fine(check, `${found.path} is not there yet`);
    const advice = `the agent makes it when it starts; is the agent installed and was it ever started?`;
    return wish.missing === "warn"
      ? doubtful(check, `no ${found.path}`, advice)
      : broken(check, `no ${found.path}`, "install the package again");
  }
  if (found.kind !== wish.kind)
    return broken(check, `${found.path} is a ${found.kind}`, `want a plain ${wish.kind}: find out who put it there`);
  const mode = found.mode.toString(8).padStart(4, "0");
  if (found.uid !== 0)
    return broken(check, `${found.path} belongs to uid ${found.uid}`, `find out why, then: chown root:root ${found.path}`);
  if ((found.mode & wish.forbidden) !== 0) {
    const want = (found.mode & ~wish.forbidden).toString(8).padStart(4, "0");
    return broken(check, `${found.path} has mode ${mode}`, `find out who changed it, then: chmod ${want} ${found.path}`);
  }
  return fine(check, `${found.path}, mode ${mode}`);
}

/** Several files of one kind as one finding: the first that is not fine, or how many there are. */
export function checkEach(check: string, what: string, findings: readonly Finding[]): Finding {
  const worst = findings.find(({ health }) => health === "fail") ?? findings.find(({ health }) => health === "warn");
  return worst ?? fine(check, findings.length === 0 ? `no ${what}` : `${findings.length} ${what}, each root's alone`);
}

/** @param trouble - why the local rule file cannot be used, undefined when it can, `absent` when there is none */
export function checkRuleFile(path: string, trouble: string | undefined | "absent"): Finding {
  if (trouble === "absent") return fine("rule-files", `no ${path}`);
  if (trouble === undefined) return fine("rule-files", `${path} reads as rules`);
  return broken(
    "rule-files",
    trouble,
    `azure-proxy-agent policy check ${path} says more; where the platform asks for this file the endpoint is closed or keeps older rules`,
  );
}
