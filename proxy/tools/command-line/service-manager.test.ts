import { describe, expect, test } from "bun:test";
import { isStartedByServiceManager } from "./service-manager.ts";

const PID = 77;
const ALL = { INVOCATION_ID: "5f", NOTIFY_SOCKET: "/run/n", LISTEN_FDS: "1" };

describe("isStartedByServiceManager", () => {
  test.each<[string, Record<string, string>, boolean, boolean]>([
    ["systemd of today, which names the process", { ...ALL, SYSTEMD_EXEC_PID: "77", LISTEN_PID: "77" }, false, true],
    ["the same on a console", { SYSTEMD_EXEC_PID: "77" }, true, true],
    ["socket activation of an older one", { LISTEN_FDS: "1", LISTEN_PID: "77" }, false, true],
    ["an older one", { INVOCATION_ID: "5f" }, false, true],
    ["another one that waits for a message", { NOTIFY_SOCKET: "/run/n" }, false, true],
    ["a shell", {}, true, false],
    ["a script or a pipe", {}, false, false],
    ["a login shell that inherited from its service", { INVOCATION_ID: "5f" }, true, false],
    ["a script of cloud-init, of a CI job", { INVOCATION_ID: "5f", SYSTEMD_EXEC_PID: "76" }, false, false],
    ["a child of a program that a socket was for", { ...ALL, LISTEN_PID: "76" }, false, false],
    ["variables without a value", { INVOCATION_ID: "", NOTIFY_SOCKET: "", LISTEN_FDS: "", SYSTEMD_EXEC_PID: "" }, false, false],
    ["a process id that only begins so", { SYSTEMD_EXEC_PID: "770" }, false, false],
  ])("%s: %j", (_, environment, hasTerminal, started) => {
    expect(isStartedByServiceManager({ environment, pid: PID, hasTerminal })).toBe(started);
  });
});
