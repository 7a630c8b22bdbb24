import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asksFilesFirst, makeLocalAccounts, parseGroup, parsePasswd } from "./local-accounts.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "apa-etc-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
}

const PASSWD = "root:x:0:0:root:/root:/bin/bash\nwww:x:33:33::/var/www:/bin/false\n";
const GROUP = "root:x:0:\nwww:x:33:\nadm:x:4:syslog,www\n";

describe("makeLocalAccounts", () => {
  test("gives name, primary group and groups by membership", async () => {
    write({ passwd: PASSWD, group: GROUP });
    const accountOf = makeLocalAccounts(folder);
    expect(await accountOf(33)).toEqual({ userName: "www", userGroups: ["www", "adm"] });
    expect(await accountOf(0)).toEqual({ userName: "root", userGroups: ["root"] });
    expect(await accountOf(34)).toBeUndefined();
  });

  test("sees a change of the files", async () => {
    write({ passwd: PASSWD, group: GROUP });
    const accountOf = makeLocalAccounts(folder);
    await accountOf(33);
    write({ group: "www:x:33:\n" });
    expect(await accountOf(33)).toEqual({ userName: "www", userGroups: ["www"] });
  });

  test("knows nobody where another source is asked first, or the files are missing", async () => {
    const accountOf = makeLocalAccounts(folder);
    expect(await accountOf(0)).toBeUndefined();
    write({ passwd: PASSWD, group: GROUP, "nsswitch.conf": "passwd: sss files\ngroup: files\n" });
    expect(await accountOf(0)).toBeUndefined();
    write({ "nsswitch.conf": "passwd: files sss\ngroup: sss files\n" });
    expect(await accountOf(33)).toEqual({ userName: "www", userGroups: [] });
  });
});

test.each([
  ["", true],
  ["passwd: files systemd", true],
  ["  passwd :\tfiles # sss", true],
  ["passwd: compat", false],
  ["passwd: sss files", false],
  ["#passwd: sss files", true],
  ["passwd:", false],
])("asksFilesFirst(%p) is %p", (text, first) => expect(asksFilesFirst(text, "passwd")).toBe(first));

test.each([
  ["a line of the old include form", "+:x:5:5::/:/bin/sh"],
  ["a line too short", "short:x:5:5"],
  ["a negative id", "minus:x:-1:5::/:/bin/sh"],
  ["an id that is too large", "large:x:4294967296:5::/:/bin/sh"],
  ["no number", "word:x:five:5::/:/bin/sh"],
  ["no name", ":x:5:5::/:/bin/sh"],
  ["bytes that are no text", "\ufffd:x:5:5::/:/bin/sh"],
  ["a remark", "#no:x:5:5::/:/bin/sh"],
])("parsePasswd leaves out %s", (_, line) => expect([...parsePasswd(line)]).toEqual([]));

test("parsePasswd takes the first line of a user id", () => {
  expect(parsePasswd("one:x:5:1::/:/bin/sh\ntwo:x:5:2::/:/bin/sh").get(5)).toEqual({ name: "one", gid: 1 });
});

test.each(["", "short:x", "+:x:5:", "x:x:-5:", ":x:5:"])("parseGroup leaves out %p", (line) => expect(parseGroup(line)).toEqual([]));
