import { describe, expect, test } from "bun:test";
import { parseCommandLine } from "./parse.ts";
import type { CommandSpec } from "./spec.ts";

const SPEC = {
  name: "try it",
  does: "try",
  about: [],
  options: {
    json: { kind: "flag", short: "j", does: "as JSON" },
    tap: { kind: "flag", does: "as TAP" },
    config: { kind: "text", value: "FILE", does: "config" },
    header: { kind: "list", value: "LINE", does: "header" },
    mode: { kind: "word", value: "WORD", words: ["enforce", "audit", "Off"], does: "mode" },
    endpoint: { kind: "words", value: "LIST", words: ["imds", "hostga"], does: "where" },
    wait: { kind: "number", short: "w", value: "SECONDS", least: 0, most: 86_400, unit: "seconds", does: "wait" },
    rules: { kind: "text", value: "RULES", required: true, does: "rules" },
  },
  operands: [
    { name: "FILE", does: "file" },
    { name: "MORE", does: "more", optional: true, most: 2 },
  ],
  excludes: [["json", "tap"]],
  exits: [],
} as const satisfies CommandSpec;

const NOTHING = {
  ...{ json: false, tap: false, config: undefined, header: [], mode: undefined, endpoint: undefined, wait: undefined },
  rules: "r",
};

describe("parseCommandLine", () => {
  test.each<[string, object, readonly string[]]>([
    ["--rules r f", {}, ["f"]],
    ["f --rules=r", {}, ["f"]],
    ["f --rules r -- --json -x", {}, ["f", "--json", "-x"]],
    ["--rules r -", {}, ["-"]],
    ["--rules r f --json", { json: true }, ["f"]],
    ["--rules r f -j", { json: true }, ["f"]],
    ["--rules r f --config a=b", { config: "a=b" }, ["f"]],
    ["--rules r f --config=a=b", { config: "a=b" }, ["f"]],
    ["--rules r f --config=--json", { config: "--json" }, ["f"]],
    ["--rules r f --config -", { config: "-" }, ["f"]],
    ["--rules r f --config -x", { config: "-x" }, ["f"]],
    ["--rules r f --header A --header=B", { header: ["A", "B"] }, ["f"]],
    ["--rules r f --mode ENFORCE", { mode: "enforce" }, ["f"]],
    ["--rules r f --mode=off", { mode: "Off" }, ["f"]],
    ["--rules r f --endpoint HostGA,imds", { endpoint: ["hostga", "imds"] }, ["f"]],
    ["--rules r f --wait 0", { wait: 0 }, ["f"]],
    ["--rules r f --wait=86400", { wait: 86_400 }, ["f"]],
    ["--rules r f -w 7", { wait: 7 }, ["f"]],
    ["--rules r f -w7", { wait: 7 }, ["f"]],
    ["--rules r f -w=7", { wait: 7 }, ["f"]],
    ["--rules r f -jw 7", { json: true, wait: 7 }, ["f"]],
    ["--rules r f g h", {}, ["f", "g", "h"]],
  ])("reads %p", (line, options, operands) => {
    expect<unknown>(parseCommandLine(SPEC, line.split(" "))).toEqual({
      ok: true,
      value: { options: { ...NOTHING, ...options }, operands },
    });
  });

  test.each([
    ["f", "--rules is needed"],
    ["--rules r", "FILE is missing"],
    ["--rules r f g h i", 'unexpected operand "i"'],
    ["--rules r f --rules r", "--rules is given twice"],
    ["--rules r f --rules=r", "--rules is given twice"],
    ["--rules r f --json --json", "--json is given twice"],
    ["--rules r f --json -j", "-j is given twice"],
    ["--rules r f -jj", "-j is given twice"],
    ["--rules r f --json --tap", "--json and --tap exclude each other"],
    ["--rules r f --json=yes", "--json takes no value"],
    ["--rules r f --json=", "--json takes no value"],
    ["--rules r f --config", "--config wants a value: --config FILE"],
    ["--rules r f --config=", "--config wants a value: --config FILE"],
    ["--rules r f --config --json", "--config wants a value, found the option --json"],
    ["--rules r f --config --mode=audit", "--config wants a value, found the option --mode=audit"],
    ["--rules r f --config -w", "--config wants a value, found the option -w"],
    ["--rules r f --mode x", '--mode wants enforce, audit or Off, found "x"'],
    ["--rules r f --mode toString", '--mode wants enforce, audit or Off, found "toString"'],
    ["--rules r f --endpoint imds,imds", '--endpoint wants some of imds, hostga, found "imds,imds"'],
    ["--rules r f --endpoint ,", '--endpoint wants some of imds, hostga, found ","'],
    ["--rules r f --wait -1", '--wait wants a whole number of seconds from 0 to 86400, found "-1"'],
    ["--rules r f --wait 1.5", 'found "1.5"'],
    ["--rules r f --wait 1e3", 'found "1e3"'],
    ["--rules r f --wait 0x10", 'found "0x10"'],
    ["--rules r f --wait 86401", 'found "86401"'],
    ["--rules r f --wait 99999999999999999999", "found"],
  ])("refuses %p", (line, message) => {
    const given = parseCommandLine(SPEC, line.split(" "));
    expect(given.ok ? given.value : given.error).toMatchObject({ kind: "wrong", message: expect.stringContaining(message) });
  });

  test.each([
    ["--rules r f --jsn", "--jsn"],
    ["--rules r f --jsn=secret", "--jsn"],
    ["--rules r f --JSON", "--JSON"],
    ["--rules r f -x", "-x"],
    ["--rules r f -jx", "-jx"],
    ["--rules r f -json", "-json"],
    ["--rules r f --toString", "--toString"],
    ["--rules r f --__proto__", "--__proto__"],
    ["--rules r f --no-json", "--no-json"],
    ["--rules r f --conf x", "--conf"],
  ])("knows no option in %p", (line, option) => {
    const given = parseCommandLine(SPEC, line.split(" "));
    expect<unknown>(given).toEqual({
      ok: false,
      error: { kind: "unknown-option", option, known: expect.arrayContaining(["--json", "--rules"]) },
    });
  });

  test("takes a value with blanks and line ends as one", () => {
    const given = parseCommandLine(SPEC, ["--rules", " a\nb ", "f"]);
    expect(given.ok && given.value.options.rules).toBe(" a\nb ");
  });
});
