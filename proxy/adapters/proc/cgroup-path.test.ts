import { describe, expect, test } from "bun:test";
import { err } from "../../core/result.ts";
import { makeCgroupPaths, parseCgroupPath } from "./cgroup-path.ts";
import { makeLane } from "./lane.ts";

describe("parseCgroupPath", () => {
  test.each([
    ["0::/\n", "/"],
    ["0::/system.slice/a.service\n", "/system.slice/a.service"],
    ["12:pids:/docker/1\n1:name=systemd:/x\n0::/user.slice/with blank:colon\n", "/user.slice/with blank:colon"],
    ["0::/gone (deleted)\n", "/gone (deleted)"],
  ])("of %j is %j", (text, path) => {
    // The root is told apart by its id, so that nobody asks for an empty segment.
    expect(parseCgroupPath(text)).toBe(path === "/" ? undefined : path);
  });

  test.each([
    ["nothing", ""],
    ["version 1 only", "12:pids:/docker/1\n"],
    ["a version 1 hierarchy whose line only looks like it", "10::/a\n"],
    ["no path", "0::\n"],
    ["a relative path", "0::a\n"],
    ["a cgroup outside of the agent's cgroup namespace", "0::/../other\n"],
    ["a dot segment", "0::/a/./b\n"],
    ["an empty segment", "0::/a//b\n"],
    ["NUL", "0::/a\0b\n"],
  ])("refuses %s", (_, text) => {
    expect(parseCgroupPath(text)).toBeUndefined();
  });
});

describe("makeCgroupPaths", () => {
  test.each(["/tmp", "/proc/self", "/no/such/folder"])("knows nothing when %s is taken for the hierarchy", async (root) => {
    const pathOf = makeCgroupPaths(root, makeLane({ places: 1, limitMs: 30_000, maxWaiting: 1 }));
    const found = err(`cgroup paths are unknown: "${root}" is not the root of the whole cgroup2 hierarchy`);
    const { pid } = process;
    for (const cgroupId of [0n, 1n, 42n]) expect(await pathOf({ cgroupId, processId: pid, threadId: pid, realUid: 0 })).toEqual(found);
  });
});
