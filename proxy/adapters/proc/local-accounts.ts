// Accounts that stand in this machine's own files, /etc/passwd and /etc/group, read without the name service: no directory that hangs is
// in their way. Only where nsswitch.conf asks the files first, so that no other source could have answered otherwise.

import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Account, LocalAccountOf } from "./accounts.ts";

/** Larger files are a directory of their own: the name service reads those. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const MAX_ID = 0xffff_ffff;

interface LocalUser {
  readonly name: string;
  readonly gid: number;
}

interface LocalFiles {
  readonly version: string;
  readonly users: ReadonlyMap<number, LocalUser>;
  readonly groups: readonly { readonly name: string; readonly gid: number; readonly members: ReadonlySet<string> }[];
}

/** @param folder - `/etc` */
export function makeLocalAccounts(folder: string): LocalAccountOf {
  let known: LocalFiles | undefined;
  return async (uid) => {
    const version = await versionOf(folder);
    if (version === undefined) return undefined;
    if (known?.version !== version) known = await readFiles(folder, version);
    return accountIn(known, uid);
  };
}

function accountIn({ users, groups }: LocalFiles, uid: number): Omit<Account, "doubts"> | undefined {
  const user = users.get(uid);
  if (user === undefined) return undefined;
  const own = groups.filter(({ gid, members }) => gid === user.gid || members.has(user.name));
  return { userName: user.name, userGroups: [...new Set(own.map(({ name }) => name))] };
}

async function readFiles(folder: string, version: string): Promise<LocalFiles> {
  const [order, passwd, group] = await Promise.all(["nsswitch.conf", "passwd", "group"].map((name) => readText(join(folder, name))));
  const users = asksFilesFirst(order ?? "", "passwd") ? parsePasswd(passwd ?? "") : new Map<number, LocalUser>();
  const groups = asksFilesFirst(order ?? "", "group") ? parseGroup(group ?? "") : [];
  return { version, users, groups };
}

/** Whether the first source of a database is `files`; what is not said is `files` in glibc. */
export function asksFilesFirst(nsswitch: string, database: string): boolean {
  for (const line of nsswitch.split("\n")) {
    const [name, sources] = (line.split("#")[0] ?? "").split(":", 2);
    if (sources !== undefined && name?.trim() === database) return sources.trim().split(/\s+/)[0] === "files";
  }
  return true;
}

/** By user id the first line that has it, as the name service takes it. */
export function parsePasswd(text: string): ReadonlyMap<number, LocalUser> {
  const users = new Map<number, LocalUser>();
  for (const line of text.split("\n")) {
    const [name = "", , uid, gid, , , shell] = line.split(":");
    const [userId, groupId] = [parseId(uid), parseId(gid)];
    if (!isName(name) || shell === undefined || userId === undefined || groupId === undefined || users.has(userId)) continue;
    users.set(userId, { name, gid: groupId });
  }
  return users;
}

export function parseGroup(text: string): LocalFiles["groups"] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , gid, members] = line.split(":");
    const id = parseId(gid);
    if (!isName(name) || id === undefined || members === undefined) return [];
    return [{ name, gid: id, members: new Set(members.split(",").filter((member) => member !== "")) }];
  });
}

/** Lines that begin with + or - send the name service elsewhere; U+FFFD stands for bytes that are no text. */
function isName(text: string): boolean {
  return text !== "" && !/^[+\-#]|\ufffd/.test(text);
}

function parseId(text: string | undefined): number | undefined {
  const id = text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) : undefined;
  return id === undefined || id > MAX_ID ? undefined : id;
}

/** Undefined when the files are not there, or too large. */
async function versionOf(folder: string): Promise<string | undefined> {
  try {
    const found = await Promise.all(["passwd", "group"].map((name) => stat(join(folder, name), { bigint: true })));
    if (found.some(({ size }) => size > BigInt(MAX_FILE_BYTES))) return undefined;
    const order = await stat(join(folder, "nsswitch.conf"), { bigint: true }).catch(() => undefined);
    return [...found, order].map((one) => (one === undefined ? "" : `${one.ino}:${one.mtimeNs}:${one.ctimeNs}:${one.size}`)).join(" ");
  } catch {
    return undefined;
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return undefined;
  }
}
