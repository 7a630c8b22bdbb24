// Account name and groups of a user id, remembered for a while. A request waits only where its decision may depend on the answer and
// nothing known can stand in, and never longer than a deadline. Must never answer with a name that neither the account database nor the
// local files gave, nor hold more than a fixed number of entries.

import type { Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";

const ROOT = 0;

export interface UserEntry {
  readonly uid: number;
  readonly name: string;
  /** The name as the database wrote it, without a NUL. */
  readonly nameBytes: Uint8Array;
  /** Primary group. */
  readonly gid: number;
}

/** Errors are ready for people; undefined means that the database knows of no such entry. */
export interface AccountDatabase {
  user(uid: number): Promise<Result<UserEntry | undefined, string>>;
  groupIds(user: UserEntry): Promise<Result<readonly number[], string>>;
  /** @param uid - on whose behalf: users share what the database can do at a time */
  groupName(gid: number, uid: number): Promise<Result<string | undefined, string>>;
}

export interface Account {
  readonly userName: string | undefined;
  /** Groups without a name are left out. */
  readonly userGroups: readonly string[];
  /** Why something is missing, or how old it is; empty when all is known. */
  readonly doubts: readonly string[];
}

/** What the machine's own files say about a user id, without any directory; undefined when they do not name it. */
export type LocalAccountOf = (uid: number) => Promise<Omit<Account, "doubts"> | undefined>;

export interface AccountOptions {
  readonly database: AccountDatabase;
  /** Default: no user is local. */
  readonly localAccountOf?: LocalAccountOf;
  /** Monotonic clock, milliseconds. */
  readonly nowMs: () => number;
  /** How long a complete answer is used. Default 60 s. */
  readonly positiveMs?: number;
  /** How long a missing account or a failed look-up is used. Default 5 s. */
  readonly negativeMs?: number;
  /** How long the last complete answer stands in for one that does not come. Default a day. */
  readonly staleMs?: number;
  /** Entries kept; the one not used for longest goes first, root's never. Default 1024. */
  readonly capacity?: number;
  /** How long a request waits for the database when its decision may depend on the answer and nothing is known. Default 2 s. */
  readonly deadlineMs?: number;
  /** How long it waits when an earlier answer, or the local files, can stand in. Default 100 ms. */
  readonly substituteMs?: number;
  /** How long it waits when only a log line depends on the answer, unless the database is late already. Default 25 ms. */
  readonly courtesyMs?: number;
}

/**
 * At once when remembered, so that the common case costs no turn of the event loop. Never rejects.
 * @param wanted - whether a decision may depend on the names; else they are for log lines, and hardly waited for
 */
export type AccountOf = (uid: number, wanted: boolean) => Account | Promise<Account>;

export interface Accounts {
  readonly accountOf: AccountOf;
  /** The look-up that is late for longest; undefined while the database answers. */
  late(): { readonly uid: number; readonly forMs: number } | undefined;
}

/** One look-up. What it has learned so far is there when the deadline comes before its end. */
interface Lookup {
  readonly startedMs: number;
  readonly finished: Promise<Account>;
  readonly local: Promise<Omit<Account, "doubts"> | undefined>;
  userName: string | undefined;
}

/** The answer of a look-up: `complete` and `absent` are what the database says, `failed` is that it does not. */
interface Answer {
  readonly kind: "complete" | "absent" | "failed";
  readonly account: Account;
}

interface Remembered {
  readonly account: Account;
  readonly untilMs: number;
  /** The last complete answer, and when it was given. */
  readonly good: Good | undefined;
}

interface Good {
  readonly account: Account;
  readonly atMs: number;
}

export function makeAccounts(options: AccountOptions): Accounts {
  const { database, nowMs, positiveMs = 60_000, negativeMs = 5_000, staleMs = 86_400_000, capacity = 1024 } = options;
  const { deadlineMs = 2_000, substituteMs = 100, courtesyMs = 25, localAccountOf = async () => undefined } = options;
  const remembered = new Map<number, Remembered>();
  const lookups = new Map<number, Lookup>();
  /** A look-up that was given up after the deadline, since when nobody was answered. */
  let unanswered: { readonly uid: number; readonly sinceMs: number } | undefined;

  function remember(uid: number, entry: Remembered): void {
    remembered.delete(uid);
    remembered.set(uid, entry);
    for (const oldest of remembered.keys()) {
      if (remembered.size <= capacity) break;
      // One user may have tens of thousands of ids; root's name is not what makes room for them.
      if (oldest !== ROOT) remembered.delete(oldest);
    }
  }

  function goodOf(uid: number): Good | undefined {
    const good = remembered.get(uid)?.good;
    return good === undefined || nowMs() - good.atMs > staleMs ? undefined : good;
  }

  /** What stands in for an answer that is missing: the last complete one, else the local files, else what there is. */
  function substitute(uid: number, missing: Account, local: Omit<Account, "doubts"> | undefined): Account {
    const good = goodOf(uid);
    if (good !== undefined) {
      const seconds = Math.round((nowMs() - good.atMs) / 1000);
      return { ...good.account, doubts: [...missing.doubts, `names of user id ${uid} are those of ${seconds} s ago`] };
    }
    return local === undefined ? missing : { ...local, doubts: missing.doubts };
  }

  async function settle(uid: number, answer: Answer, local: Lookup["local"], startedMs: number): Promise<Account> {
    if (answer.kind !== "failed") unanswered = undefined;
    else if (nowMs() - startedMs > deadlineMs) unanswered ??= { uid, sinceMs: startedMs };
    const account = answer.kind === "failed" ? substitute(uid, answer.account, await local) : answer.account;
    const good = answer.kind === "failed" ? goodOf(uid) : answer.kind === "complete" ? { account, atMs: nowMs() } : undefined;
    // An answer after the deadline still serves the next request.
    remember(uid, { account, good, untilMs: nowMs() + (answer.kind === "complete" ? positiveMs : negativeMs) });
    lookups.delete(uid);
    return account;
  }

  function begin(uid: number): Lookup {
    const progress = { userName: undefined as string | undefined };
    const startedMs = nowMs();
    const local = localAccountOf(uid).catch(() => undefined);
    const finished = askDatabase(database, uid, progress)
      .catch((cause: unknown) => failed(`cannot look up user id ${uid}: ${describeError(cause)}`))
      .then((answer) => settle(uid, answer, local, startedMs));
    const lookup: Lookup = Object.assign(progress, { startedMs, finished, local });
    lookups.set(uid, lookup);
    return lookup;
  }

  function late(): { readonly uid: number; readonly forMs: number } | undefined {
    if (unanswered !== undefined) return { uid: unanswered.uid, forMs: nowMs() - unanswered.sinceMs };
    // In the order in which they began: the first is the oldest.
    const [oldest] = lookups;
    const forMs = oldest === undefined ? 0 : nowMs() - oldest[1].startedMs;
    return oldest !== undefined && forMs > deadlineMs ? { uid: oldest[0], forMs } : undefined;
  }

  function limitFor(uid: number, wanted: boolean, local: Omit<Account, "doubts"> | undefined): number {
    const isLate = late() !== undefined;
    if (!wanted) return isLate ? 0 : courtesyMs;
    if (goodOf(uid) === undefined && local === undefined) return deadlineMs;
    return isLate ? 0 : substituteMs;
  }

  async function waitFor(uid: number, lookup: Lookup, wanted: boolean): Promise<Account> {
    const local = await lookup.local;
    const limitMs = limitFor(uid, wanted, local);
    const leftMs = lookup.startedMs + limitMs - nowMs();
    const missing = () => {
      const what = `cannot look up ${lookup.userName === undefined ? "" : "the groups of "}user id ${uid}`;
      const doubt = wanted ? `${what}: no answer within ${limitMs} ms` : `${what} yet: no rule in effect asks for it`;
      return substitute(uid, { userName: lookup.userName, userGroups: [], doubts: [doubt] }, local);
    };
    return leftMs <= 0 ? missing() : before(lookup.finished, leftMs, missing);
  }

  return {
    late,
    accountOf(uid, wanted) {
      const entry = remembered.get(uid);
      if (entry !== undefined && nowMs() < entry.untilMs) {
        remembered.delete(uid);
        remembered.set(uid, entry);
        return entry.account;
      }
      const running = lookups.get(uid);
      // Every unknown user id starts at most one look-up, and all of them together are bounded like the entries.
      if (running === undefined && uid !== ROOT && lookups.size >= capacity)
        return substitute(uid, unknownAccount(`cannot look up user id ${uid}: too many look-ups are waiting`), undefined);
      return waitFor(uid, running ?? begin(uid), wanted);
    },
  };
}

async function askDatabase(database: AccountDatabase, uid: number, progress: { userName: string | undefined }): Promise<Answer> {
  const user = await database.user(uid);
  if (!user.ok) return failed(user.error);
  if (user.value === undefined) return { kind: "absent", account: unknownAccount(`user id ${uid} has no account`) };
  const userName = user.value.name;
  progress.userName = userName;
  const gids = await database.groupIds(user.value);
  if (!gids.ok) return { kind: "failed", account: { userName, userGroups: [], doubts: [gids.error] } };
  const userGroups = new Set<string>();
  const doubts: string[] = [];
  for (const gid of gids.value) {
    const name = await database.groupName(gid, uid);
    if (!name.ok) doubts.push(name.error);
    else if (name.value !== undefined && name.value !== "") userGroups.add(name.value);
  }
  const account = { userName, userGroups: [...userGroups], doubts: doubts.slice(0, 1) };
  return { kind: doubts.length === 0 ? "complete" : "failed", account };
}

function failed(doubt: string): Answer {
  return { kind: "failed", account: unknownAccount(doubt) };
}

function unknownAccount(doubt: string): Account {
  return { userName: undefined, userGroups: [], doubts: [doubt] };
}

function before(finished: Promise<Account>, limitMs: number, late: () => Account): Promise<Account> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(late()), limitMs);
    finished.then((account) => {
      clearTimeout(timer);
      resolve(account);
    });
  });
}
