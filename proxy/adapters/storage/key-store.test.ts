import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "../../core/channel/secret.ts";
import type { LatchedKey } from "../../core/channel/secure-channel.ts";
import { type KeyStore, openKeyStore } from "./key-store.ts";

const GUID = "9cf81e97-0316-4ad3-94a7-8ccbdee8ccbf";

let folder: string;
let store: KeyStore;

function key(guid = GUID, fill = 7): LatchedKey {
  return { guid, incarnationId: 3, issued: "2026-01-01T00:00:00Z", secret: new Secret(Buffer.alloc(32, fill)) };
}

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "key-store-")), "keys");
  const opened = openKeyStore(folder);
  if (!opened.ok) throw new Error(opened.error.message);
  store = opened.value;
});

afterEach(() => {
  rmSync(join(folder, ".."), { recursive: true, force: true });
});

function message(result: { readonly ok: boolean; readonly error?: { readonly message: string } }): string {
  return result.ok ? "accepted" : (result.error?.message ?? "");
}

describe("key store", () => {
  test("what was saved is loaded again after a restart", () => {
    expect(store.save(key()).ok).toBe(true);
    const loaded = store.load(GUID);
    expect(loaded.ok && [loaded.value.guid, loaded.value.incarnationId, loaded.value.issued]).toEqual([GUID, 3, "2026-01-01T00:00:00Z"]);
    expect(loaded.ok && Buffer.from(loaded.value.secret.reveal()).toString("hex")).toBe("07".repeat(32));
  });

  test("T-10: folder and file are root's alone from the moment they exist, and no temporary file is left", () => {
    store.save(key());
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, `${GUID}.key`)).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual([`${GUID}.key`]);
  });

  test("refuses a key that others could have read", () => {
    store.save(key());
    chmodSync(join(folder, `${GUID}.key`), 0o644);
    expect(message(store.load(GUID))).toContain("file mode is 0644, want 0600");
  });

  test("refuses a link in place of the key file", () => {
    writeFileSync(join(folder, "elsewhere"), "{}", { mode: 0o600 });
    symlinkSync(join(folder, "elsewhere"), join(folder, `${GUID}.key`));
    expect(message(store.load(GUID))).toContain("ELOOP");
  });

  test.each([
    "",
    "{",
    "[]",
    '{"guid":"x"}',
    JSON.stringify({ authorizationScheme: "Azure-HMAC-SHA256", guid: GUID, key: "zz", issued: "" }),
  ])("refuses the content %p without quoting it", (content) => {
    writeFileSync(join(folder, `${GUID}.key`), content, { mode: 0o600 });
    expect(message(store.load(GUID))).toStartWith(`cannot load key "${folder}/${GUID}.key": key`);
  });

  test("refuses a file that holds another key than its name says", () => {
    const other = "00000000-0000-0000-0000-000000000001";
    store.save(key(other));
    writeFileSync(
      join(folder, `${GUID}.key`),
      JSON.stringify({ authorizationScheme: "Azure-HMAC-SHA256", guid: other, key: "07".repeat(32) }),
      { mode: 0o600 },
    );
    expect(message(store.load(GUID))).toContain(`it holds key ${other}`);
  });

  test.each(["../../etc/shadow", "", "a/b", `${GUID}/../x`])("never turns the guid %p into a path", (guid) => {
    expect(message(store.load(guid))).toContain("form of a GUID");
    expect(message(store.save(key(guid)))).toContain("form of a GUID");
  });

  test("keeps the newest keys and the one in use", () => {
    const guids = [1, 2, 3, 4].map((n) => `00000000-0000-0000-0000-00000000000${n}`);
    for (const [index, guid] of guids.entries()) {
      store.save(key(guid));
      utimesSync(join(folder, `${guid}.key`), 1000 + index, 1000 + index);
    }
    store.prune(guids[0] ?? "");
    expect(readdirSync(folder).sort()).toEqual([guids[0], guids[2], guids[3]].map((guid) => `${guid}.key`));
  });
});
