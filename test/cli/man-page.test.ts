// The man page tells of every config key that there is, and of the version. Commands and exit codes are made from their tables:
// scripts/command-docs.test.ts.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findConfigKeys } from "../../scripts/docs-facts.ts";

const PROJECT = join(import.meta.dir, "../..");
const source = readFileSync(join(PROJECT, "debian/azure-proxy-agent.8"), "utf8");
/** Without what only formats. */
const page = source.replaceAll("\\-", "-");

describe("the man page", () => {
  test("has every config key", () => {
    const keys = findConfigKeys({ path: "config.ts", text: readFileSync(join(PROJECT, "proxy/core/config.ts"), "utf8") });
    expect(keys.length).toBeGreaterThan(20);
    // What the reference's file has and we do without is in the documents only.
    const own = keys.filter(
      ({ word }) => !["hostGAPluginSupport", "enableHttpProxyTrace", "canonicalRequestMode", "$schema"].includes(word),
    );
    for (const { word } of own) expect(page).toMatch(new RegExp(`\\b${word}\\b`));
  });

  test("names the version that the package has", () => {
    const version = /"version": "([^"]+)"/.exec(readFileSync(join(PROJECT, "package.json"), "utf8"))?.[1] ?? "";
    expect(page.split("\n")[0]).toContain(`azure-proxy-agent ${version}"`);
    expect(readFileSync(join(PROJECT, "debian/changelog"), "utf8")).toStartWith(`azure-proxy-agent (${version})`);
  });
});
