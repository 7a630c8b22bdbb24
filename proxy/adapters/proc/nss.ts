// The account database of this machine (files, sssd, LDAP, whatever nsswitch.conf names), queried on helper threads.
// It never blocks the event loop, caches no answer and drops bytes that are not UTF-8.

import { err, ok, type Result } from "../../core/result.ts";
import type { AccountDatabase, UserEntry } from "./accounts.ts";
import { makeLane } from "./lane.ts";
import { addressOf, type Done, type EntryMemory, stableBytes, startGroupList, startGroupLookup, startUserLookup } from "./libc.ts";

/** struct passwd: name, passwd, uid, gid, gecos, dir, shell. struct group: name, passwd, gid, members. */
const PASSWD_BYTES = 48;
const PASSWD_GID_AT = 20;
const GROUP_BYTES = 32;
const POINTER_BYTES = 8;
const FIRST_STRINGS_BYTES = 4096;
/** A group entry lists its members: large directories need much room. */
const MAX_STRINGS_BYTES = 4 * 1024 * 1024;
const GROWTH = 4;
const FIRST_GROUPS = 64;
/** NGROUPS_MAX of Linux. */
const MAX_GROUPS = 65_536;

const EINTR = 4;
const ERANGE = 34;
/** What getpwuid_r(3) lists as "the given name or uid was not found": ENOENT, ESRCH, EBADF, EPERM. */
const NOT_FOUND: ReadonlySet<number> = new Set([1, 2, 3, 9]);

/** Three lookups run at a time, one of them for root. One that has not returned after half a minute counts as hanging. */
const LANE = { places: 3, limitMs: 30_000, maxWaiting: 4096 };

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The database behind getpwuid_r, getgrouplist and getgrgid_r. The first buffers are in bytes and in groups; they grow as needed. */
export function openAccountDatabase(firstStrings = FIRST_STRINGS_BYTES, firstGroups = FIRST_GROUPS): AccountDatabase {
  const lane = makeLane(LANE);

  async function call(uid: number, what: string, start: (done: Done) => void): Promise<Result<number, string>> {
    for (;;) {
      const returned = await lane.run<number | undefined>(uid, start);
      if (!returned.ok) return err(`cannot look up ${what}: the account database does not answer`);
      if (returned.value === undefined) return err(`cannot look up ${what}: the call failed`);
      if (returned.value !== EINTR) return ok(returned.value);
    }
  }

  /** One entry with its strings, or undefined when there is none. */
  async function entry(
    uid: number,
    what: string,
    size: number,
    start: (memory: EntryMemory, done: Done) => void,
  ): Promise<Result<EntryMemory | undefined, string>> {
    for (let room = firstStrings; room <= MAX_STRINGS_BYTES; room *= GROWTH) {
      const memory: EntryMemory = { entry: stableBytes(size), strings: stableBytes(room), found: stableBytes(POINTER_BYTES) };
      const returned = await call(uid, what, (done) => start(memory, done));
      if (!returned.ok) return returned;
      if (returned.value === ERANGE) continue;
      if (returned.value === 0) return ok(memory.found.some((byte) => byte !== 0) ? memory : undefined);
      return NOT_FOUND.has(returned.value) ? ok(undefined) : err(`cannot look up ${what}: error ${returned.value}`);
    }
    return err(`cannot look up ${what}: found an entry larger than ${MAX_STRINGS_BYTES} bytes`);
  }

  return {
    async user(uid) {
      const memory = await entry(uid, `user id ${uid}`, PASSWD_BYTES, (to, done) => startUserLookup(uid, to, done));
      if (!memory.ok || memory.value === undefined) return memory as Result<undefined, string>;
      const name = firstString(memory.value);
      if (name === undefined || name.text === "") return err(`cannot look up user id ${uid}: the account name is not valid UTF-8`);
      const gid = new DataView(memory.value.entry.buffer).getUint32(PASSWD_GID_AT, true);
      return ok({ uid, name: name.text, nameBytes: name.bytes, gid });
    },
    async groupIds(user: UserEntry) {
      const what = `the groups of user "${user.name}"`;
      const name = stableBytes(user.nameBytes.length + 1);
      name.set(user.nameBytes);
      for (let room = firstGroups; room <= MAX_GROUPS; ) {
        const groups = new Uint32Array(stableBytes(room * Uint32Array.BYTES_PER_ELEMENT).buffer);
        const count = new Int32Array(stableBytes(Int32Array.BYTES_PER_ELEMENT).buffer);
        count[0] = room;
        const returned = await call(user.uid, what, (done) => startGroupList(name, user.gid, groups, count, done));
        if (!returned.ok) return returned;
        const wanted = count[0] ?? 0;
        // -1 says that there are more than fit; a count within the room all the same is a database that changed its mind.
        if (returned.value >= 0 && wanted <= room) return ok([...groups.subarray(0, wanted)]);
        room = Math.max(wanted, room * GROWTH);
      }
      return err(`cannot look up ${what}: found more than ${MAX_GROUPS}`);
    },
    async groupName(gid, uid) {
      const memory = await entry(uid, `group id ${gid}`, GROUP_BYTES, (to, done) => startGroupLookup(gid, to, done));
      if (!memory.ok || memory.value === undefined) return memory as Result<undefined, string>;
      const name = firstString(memory.value);
      return name === undefined ? err(`cannot look up group id ${gid}: the group name is not valid UTF-8`) : ok(name.text);
    },
  };
}

/** The string that the first field points to. It must lie in the buffer we gave; anything else is not read. */
function firstString(memory: EntryMemory): { readonly text: string; readonly bytes: Uint8Array } | undefined {
  const start = new DataView(memory.entry.buffer).getBigUint64(0, true) - addressOf(memory.strings);
  if (start < 0n || start >= BigInt(memory.strings.length)) return undefined;
  const end = memory.strings.indexOf(0, Number(start));
  if (end < 0) return undefined;
  const bytes = memory.strings.slice(Number(start), end);
  try {
    return { text: utf8.decode(bytes), bytes };
  } catch {
    return undefined;
  }
}
