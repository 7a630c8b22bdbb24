import { describe, expect, test } from "bun:test";
import { parseArguments } from "./arguments.ts";

describe("parseArguments", () => {
  test.each([
    [[], { kind: "run", configPath: undefined, console: false }],
    [["--config", "/a"], { kind: "run", configPath: "/a", console: false }],
    [["--config=/a=b"], { kind: "run", configPath: "/a=b", console: false }],
    [["console"], { kind: "run", configPath: undefined, console: true }],
    [["--status", "--config", "/a", "--wait=3"], { kind: "status", waitSeconds: 3, configPath: "/a" }],
    [["console", "--config", "/a"], { kind: "run", configPath: "/a", console: true }],
    [["--status"], { kind: "status", waitSeconds: 0, configPath: undefined }],
    [["-s"], { kind: "status", waitSeconds: 0, configPath: undefined }],
    [["--status", "--wait", "120"], { kind: "status", waitSeconds: 120, configPath: undefined }],
    [["-s", "-w", "120"], { kind: "status", waitSeconds: 120, configPath: undefined }],
    [["--wait", "7", "--status"], { kind: "status", waitSeconds: 7, configPath: undefined }],
    [["--status", "--wait=0"], { kind: "status", waitSeconds: 0, configPath: undefined }],
    [["--status", "--wait", "86400"], { kind: "status", waitSeconds: 86_400, configPath: undefined }],
    [["--version"], { kind: "version" }],
    [["--nonsense", "-v"], { kind: "version" }],
    [["console", "--help"], { kind: "help" }],
  ] as const)("reads %j", (argv, command) => {
    expect(parseArguments(argv)).toEqual(command);
  });

  test.each([
    [["--wait", "5"], "--wait goes with --status only"],
    [["-w", "5"], "--wait goes with --status only"],
    [["--status", "--wait"], "--wait wants"],
    [["--status", "--wait", "-1"], 'found "-1"'],
    [["--status", "--wait", "1.5"], 'found "1.5"'],
    [["--status", "--wait", "1e3"], 'found "1e3"'],
    [["--status", "--wait", " 5"], 'found " 5"'],
    [["--status", "--wait", ""], 'found ""'],
    [["--status", "--wait", "86401"], 'found "86401"'],
    [["--status", "--wait", "99999999999999999999"], "found"],
    [["--status", "--wait", "1", "--wait", "2"], "given twice"],
    [["--status", "-s"], "given twice"],
    [["--status=yes"], "takes no value"],
    [["--status", "5"], 'unknown argument "5"'],
    [["console", "--status"], "does not go with console"],
    [["--status", "console"], 'unknown argument "console"'],
    [["--config"], "path of a file"],
    [["--config="], "path of a file"],
    [["start"], 'unknown argument "start"'],
    [["-sw", "5"], 'unknown argument "-sw"'],
  ] as const)("refuses %j", (argv, message) => {
    const command = parseArguments(argv);
    expect(command.kind === "bad" ? command.message : command).toContain(message);
  });
});
