// Account name and groups of a user id, remembered for a while. It never keeps a request waiting longer than its deadline,
// never answers with a name that the account database did not give, and never holds more than a fixed number of entries.

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
  /** Why something is missing; empty when all is known. */
  readonly doubts: readonly string[];
}

export interface AccountOptions {
  readonly database: AccountDatabase;
  /** Monotonic clock, milliseconds. */
  readonly nowMs: () => number;
  /** How long a complete answer is used. Default 60 s. */
  readonly positiveMs?: number;
  /** How long a missing account or a failed look-up is used. Default 5 s. */
  readonly negativeMs?: number;
  /** Entries kept; the one not used for longest goes first, root's never. Default 1024. */
  readonly capacity?: number;
  /** How long a request waits for the database. Default 2 s. */
  readonly deadlineMs?: number;
}

/** At once when remembered, so that the common case costs no turn of the event loop. Never rejects. */
export type AccountOf = (uid: number) => Account | Promise<Account>;

/** One look-up. What it has learned so far is there when the deadline comes before its end. */
interface Lookup {
  readonly startedMs: number;
  readonly finished: Promise<Account>;
  userName: string | undefined;
}

interface Remembered {
  readonly account: Account;
  readonly untilMs: number;
}

export function makeAccounts(options: AccountOptions): AccountOf {
  const { database, nowMs, positiveMs = 60_000, negativeMs = 5_000, capacity = 1024, deadlineMs = 2_000 } = options;
  const remembered = new Map<number, Remembered>();
  const lookups = new Map<number, Lookup>();

  function remember(uid: number, account: Account): void {
    remembered.delete(uid);
    remembered.set(uid, { account, untilMs: nowMs() + (account.doubts.length === 0 ? positiveMs : negativeMs) });
    for (const oldest of remembered.keys()) {
      if (remembered.size <= capacity) break;
      // One user may have tens of thousands of ids; root's name is not what makes room for them.
      if (oldest !== ROOT) remembered.delete(oldest);
    }
  }

  function begin(uid: number): Lookup {
    const progress = { userName: undefined as string | undefined };
    const finished = askDatabase(database, uid, progress)
      .catch((cause: unknown) => unknownAccount(`cannot look up user id ${uid}: ${describeError(cause)}`))
      .then((account) => {
        // An answer after the deadline still serves the next request.
        remember(uid, account);
        lookups.delete(uid);
        return account;
      });
    const lookup: Lookup = Object.assign(progress, { startedMs: nowMs(), finished });
    lookups.set(uid, lookup);
    return lookup;
  }

  return (uid) => {
    const entry = remembered.get(uid);
    if (entry !== undefined && nowMs() < entry.untilMs) {
      remembered.delete(uid);
      remembered.set(uid, entry);
      return entry.account;
    }
    const running = lookups.get(uid);
    // Every unknown user id starts at most one look-up, and all of them together are bounded like the entries.
    if (running === undefined && uid !== ROOT && lookups.size >= capacity)
      return unknownAccount(`cannot look up user id ${uid}: too many look-ups are waiting`);
    const lookup = running ?? begin(uid);
    const leftMs = lookup.startedMs + deadlineMs - nowMs();
    const late = () => ({
      userName: lookup.userName,
      userGroups: [],
      doubts: [`cannot look up ${lookup.userName === undefined ? "" : "the groups of "}user id ${uid}: no answer within ${deadlineMs} ms`],
    });
    return leftMs <= 0 ? late() : before(lookup.finished, leftMs, late);
  };
}

async function askDatabase(database: AccountDatabase, uid: number, progress: { userName: string | undefined }): Promise<Account> {
  const user = await database.user(uid);
  if (!user.ok) return unknownAccount(user.error);
  if (user.value === undefined) return unknownAccount(`user id ${uid} has no account`);
  const userName = user.value.name;
  progress.userName = userName;
  const gids = await database.groupIds(user.value);
  if (!gids.ok) return { userName, userGroups: [], doubts: [gids.error] };
  const userGroups = new Set<string>();
  const doubts: string[] = [];
  for (const gid of gids.value) {
    const name = await database.groupName(gid, uid);
    if (!name.ok) doubts.push(name.error);
    else if (name.value !== undefined && name.value !== "") userGroups.add(name.value);
  }
  return { userName, userGroups: [...userGroups], doubts: doubts.slice(0, 1) };
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
