import { describe, expect, test } from "bun:test";
import { openCgroup, parseCgroupRoot } from "./cgroup.ts";

const PLAIN = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate";
const HYBRID = [
  "31 23 0:27 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755",
  "32 31 0:28 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw",
  "33 31 0:29 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd",
].join("\n");
const PART = "40 23 0:26 /machine.slice /mnt/part rw - cgroup2 cgroup2 rw";

describe("parseCgroupRoot", () => {
  test.each([
    ["a host with version 2 only", PLAIN, "/sys/fs/cgroup"],
    ["a hybrid host", HYBRID, "/sys/fs/cgroup/unified"],
    ["a mount without optional tags", "30 23 0:26 / /cg rw - cgroup2 none rw", "/cg"],
    ["a part mounted before the root", `${PART}\n${PLAIN}`, "/sys/fs/cgroup"],
    ["a blank in the path", "30 23 0:26 / /mnt/my\\040groups rw - cgroup2 none rw", "/mnt/my groups"],
    ["several mounts of the root", `${PLAIN}\n30 23 0:26 / /mnt/second rw - cgroup2 none rw`, "/sys/fs/cgroup"],
  ])("finds it on %s", (_, mountinfo, path) => {
    expect(parseCgroupRoot(mountinfo)).toEqual({ ok: true, value: path });
  });

  test.each([
    ["nothing", ""],
    ["no cgroup at all", "31 23 0:27 / / rw - ext4 /dev/sda1 rw"],
    ["version 1 only", "33 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu"],
    ["a look-alike type", "33 31 0:29 / /x rw - cgroup2x none rw"],
    ["a type only in the source", "33 31 0:29 / /x rw - tmpfs cgroup2 rw"],
    ["a line cut short", "33 31 0:29 - cgroup2"],
  ])("refuses %s", (_, mountinfo) => {
    const found = parseCgroupRoot(mountinfo);
    expect(found).toMatchObject({ ok: false, error: { kind: "cgroup-missing" } });
    expect(JSON.stringify(found)).toContain("no mount of type cgroup2");
  });

  test("says which part it found when the root is not mounted", () => {
    expect(JSON.stringify(parseCgroupRoot(PART))).toContain("only a part of it, at");
  });
});

describe("openCgroup", () => {
  test.each([
    ["a path that does not exist", "/nonexistent/cgroup", "no such file"],
    ["a folder that is no cgroup", "/proc", "want cgroup2"],
  ])("refuses %s", (_, path, words) => {
    const opened = openCgroup(path);
    expect(opened).toMatchObject({ ok: false, error: { kind: "cgroup-missing" } });
    expect(JSON.stringify(opened)).toContain(words);
    expect(JSON.stringify(opened)).toContain(path);
  });
});
