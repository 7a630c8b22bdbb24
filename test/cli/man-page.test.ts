// The man page tells of every command, tool, config key and exit code that there is.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { EXIT } from "../../proxy/exit-code.ts";
import { findConfigKeys } from "../../scripts/docs-facts.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";
import { runProgram } from "../support/world.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const PROJECT = join(import.meta.dir, "../..");
const CLI = join(PROJECT, "proxy/main.ts");
const source = readFileSync(join(PROJECT, "debian/azure-proxy-agent.8"), "utf8");
/** Without what only formats. */
const page = source.replaceAll("\\-", "-");

async function helpOf(...words: readonly string[]): Promise<string> {
  return (await runProgram([process.execPath, CLI, ...words, "--help"])).stdout;
}

function wordsOf(help: string, pattern: RegExp): readonly string[] {
  return [...help.matchAll(pattern)].map((match) => match[1] ?? "");
}

describe("the man page", () => {
  test("has every command in its synopsis", async () => {
    const commands = wordsOf(await helpOf(), /^ {2}azure-proxy-agent ([a-z]+)/gm);
    expect(commands.length).toBeGreaterThan(5);
    for (const command of commands) expect(page).toContain(`\n.B azure-proxy-agent ${command}\n`);
  });

  test.each([
    ["policy", /^ {2}([a-z]+) {2,}/gm],
    ["module", /^ {2}([a-z]+) {1,}[a-z]/gm],
    ["audit", /^ {2}audit ([a-z]+)/gm],
  ])("has every tool of %s", async (command, pattern) => {
    const tools = wordsOf(await helpOf(command), pattern);
    expect(tools.length).toBeGreaterThan(2);
    for (const tool of tools)
      expect(page).toMatch(new RegExp(`^\\.B.*${command} ${tool}\\b|^"${command} ${tool}\\b|"${command} ${tool}"`, "m"));
  });

  test("has every config key and every exit code", () => {
    const keys = findConfigKeys({ path: "config.ts", text: readFileSync(join(PROJECT, "proxy/core/config.ts"), "utf8") });
    expect(keys.length).toBeGreaterThan(20);
    // What the reference's file has and we do without is in the documents only.
    const own = keys.filter(({ word }) => !["hostGAPluginSupport", "enableHttpProxyTrace", "canonicalRequestMode"].includes(word));
    for (const { word } of own) expect(page).toMatch(new RegExp(`\\b${word}\\b`));
    for (const code of Object.values(EXIT)) expect(page).toContain(`\n.B ${code}\n`);
  });

  test("names the version that the package has", () => {
    const version = /"version": "([^"]+)"/.exec(readFileSync(join(PROJECT, "package.json"), "utf8"))?.[1] ?? "";
    expect(page.split("\n")[0]).toContain(`azure-proxy-agent ${version}"`);
    expect(readFileSync(join(PROJECT, "debian/changelog"), "utf8")).toStartWith(`azure-proxy-agent (${version})`);
  });
});
