import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimsOf } from "../../../test/support/claims.ts";
import { sampleComponent } from "../../../test/support/module-component.ts";
import { moduleEntry } from "../../../test/support/module-entry.ts";
import { encodePrepared } from "../../adapters/policy/prepared-artefact.ts";
import { changeModules, hashed, hashOf } from "../../adapters/storage/module-store.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import { NO_MODULE_MEMORY } from "../../core/modules/module-memory.ts";
import { ok } from "../../core/result.ts";
import type { PreparedComponent } from "../../core/wasm/component-plan.ts";
import { PREPARATION, prepareComponent } from "../../core/wasm/prepare-component.ts";
import { makeLoadModule, readListing } from "./load-module.ts";

const SELF = process.geteuid?.() ?? 0;

let top: string;
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "load-module-"));
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

function files(requireSigned = false) {
  return {
    folder: join(top, "modules"),
    trustedKeysFolder: join(top, "keys"),
    requireSigned,
    owner: SELF,
    monotonicMs: () => 0,
    cpuMs: () => 0,
  };
}

/** Installs the sample with an artefact that was changed. */
async function install(change: (prepared: PreparedComponent) => Uint8Array): Promise<ModuleEntry> {
  const component = await sampleComponent();
  const made = prepareComponent(component);
  if (!made.ok) throw new Error(made.error.message);
  const artefact = change(made.value.prepared);
  const settings = new Uint8Array(0);
  const entry = moduleEntry({
    componentSha256: hashOf(component),
    preparedSha256: hashOf(artefact),
    settingsSha256: hashOf(settings),
  });
  const changed = changeModules(files().folder, SELF, () => ok({ entries: [entry], objects: [component, artefact, settings].map(hashed) }));
  if (!changed.ok) throw new Error(changed.error.message);
  return entry;
}

async function answerOf(entry: ModuleEntry, requireSigned = false): Promise<string> {
  const loaded = await makeLoadModule(files(requireSigned))(entry, () => undefined, NO_MODULE_MEMORY);
  if (!loaded.ok) return loaded.error;
  const request = { endpoint: "imds", method: "HEAD", segments: ["x"], trailingSlash: false, query: [] } as const;
  const { answer } = loaded.value.module.ask({
    request,
    claims: claimsOf({}),
    headers: [],
    uptimeSeconds: 0,
    unixSeconds: 0,
    soFar: undefined,
  });
  return `${answer.kind} ${answer.reason}`;
}

describe("loading an installed module", () => {
  test("the list on disk, the artefact, the module's answer", async () => {
    const entry = await install(encodePrepared);
    const listing = readListing(files());
    expect(listing.ok && listing.value.entries).toEqual([entry]);
    expect(await answerOf(entry)).toBe("deny not-for-you");
  });

  test("what another version of the agent prepared is made anew from the component", async () => {
    // Its modules would trap: only a fresh artefact can answer.
    const old = await install((prepared) =>
      encodePrepared({ ...prepared, preparation: PREPARATION - 1, modules: prepared.modules.map(() => new Uint8Array(4)) }),
    );
    expect(await answerOf(old)).toBe("deny not-for-you");
    expect(await answerOf(await install(() => Buffer.from("a form that this version does not know")))).toBe("deny not-for-you");
  });

  test("T-124: an unsigned module is not loaded where signatures are required", async () => {
    expect(await answerOf(await install(encodePrepared), true)).toContain("requireSignedModules is set");
  });

  test("T-124: a signed module whose key does not count is not loaded, and it is said why", async () => {
    // Made by minisign over something else.
    const signature = Buffer.from(`untrusted comment: signature from minisign secret key
RUTKFlV0lXukkv2q8xr5cxjkTVyeEMPaFZEujdoLibZCZDsp7dCImgV5IE0wbKmFEUP9ZFOx4p5geIfHXEmwZv+0zlG6PGPgiwo=
trusted comment: timestamp:1790000000\tfile:m.wasm\thashed
WidJIJ+1gXq2RSxjwJzjh4+Q6wg2M/nGez4Wcaq60/zxJkJTpnjJemju+bdLWDC/41Kr55X9WQRZmVsDFkh1AQ==
`);
    const unsigned = await install(encodePrepared);
    const entry = { ...unsigned, signedBy: "92A47B95745516CA", signatureSha256: hashOf(signature) };
    changeModules(files().folder, SELF, () => ok({ entries: [entry], objects: [hashed(signature)] }));
    expect(await answerOf(entry)).toContain("signed by key 92A47B95745516CA, which is not trusted here");
    mkdirSync(files().trustedKeysFolder, { mode: 0o755 });
    const key = join(files().trustedKeysFolder, "mine.pub");
    writeFileSync(key, "untrusted comment: x\nRWTKFlV0lXukkjtTKWXrE5tP1BluGnPk+46JMWkX8fzOfjYWHJXOl3kb\n", { mode: 0o600 });
    expect(await answerOf(entry)).toContain("is not one over this file");
    chmodSync(key, 0o666);
    expect(await answerOf(entry)).toContain("mode is 0666, want one that only the owner may write to");
  });

  test("T-121: nothing is loaded of which one content is not what its hash says", async () => {
    const entry = await install(encodePrepared);
    for (const member of ["componentSha256", "preparedSha256", "settingsSha256"] as const)
      expect(await answerOf({ ...entry, [member]: "0".repeat(64) })).toContain("it is missing");
  });
});
