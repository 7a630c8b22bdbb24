// Exit codes of the daemon and of every command, each with one meaning, as sysexits(3) names them where it has a name. This table also
// makes the list in docs/operations.md and in the man page.

export const EXIT = {
  ok: 0,
  no: 1,
  finishedWithError: 2,
  abstain: 3,
  usage: 64,
  noInput: 66,
  software: 70,
  cannotCreate: 73,
  temporary: 75,
  capability: 77,
  config: 78,
} as const;

export type ExitName = keyof typeof EXIT;

export interface ExitMeaning {
  /** For the list at the end of a command's help. */
  readonly short: string;
  readonly means: string;
  /** What to do about it; empty when nothing. */
  readonly advice: string;
}

export const EXIT_MEANINGS: Readonly<Record<ExitName, ExitMeaning>> = {
  ok: {
    short: "done",
    means: "the command did what it was asked and the answer is yes; the daemon was ended by a signal, the console by Enter",
    advice: "",
  },
  no: {
    short: "the answer is no",
    means:
      "the command looked and the answer is no: rules or a module are refused, a deny, a case that fails, a difference, damage, a FAIL of doctor, an agent that is not ready in time",
    advice: "it says why",
  },
  finishedWithError: {
    short: "finished with an error",
    means: "status: provisioning has finished with an error",
    advice: "it says what is not ready",
  },
  abstain: { short: "the module abstains", means: "module run: the module abstains", advice: "" },
  usage: { short: "wrong command line", means: "wrong command line, or no command", advice: "see the help that the message names" },
  noInput: {
    short: "an input is missing, unreadable or not what is wanted",
    means:
      "an input is missing, cannot be read or is not what is wanted: rules, cases, log lines, a component, a decision trail, a status, the installed modules",
    advice: "the message names it, with line and column where there are any",
  },
  software: { short: "a defect of the program", means: "a defect of the program", advice: "please report it, with the message" },
  cannotCreate: { short: "an output cannot be written", means: "an output cannot be written", advice: "the message names it" },
  temporary: {
    short: "another process is in the way",
    means: "another process is in the way: 127.0.0.1:3080 is taken, an agent runs already, another command is changing the modules",
    advice: "the message names it; who listens there: `ss -ltnp 'sport = :3080'`",
  },
  capability: {
    short: "not root, or a capability is missing",
    means: "not root, or a capability is missing: cgroup2, eBPF, libbpf1",
    advice: "the message names it; see Requirements",
  },
  config: { short: "bad config", means: "the config cannot be read or used", advice: "the message names line, column and key" },
};
