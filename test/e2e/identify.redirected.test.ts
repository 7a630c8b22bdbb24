// The numbers that the eBPF program pins are the ones that the agent finds again, also on a file system whose stat(2) reports
// others. Needs root and a sandbox.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeIdentify } from "../../proxy/adapters/proc/identify.ts";
import type { AuditRecord } from "../../proxy/core/request/caller.ts";
import { openWorkshop, programOf, type Workshop } from "../support/pinned-process.ts";
import { type Answer, openStage, type Stage } from "../support/redirected-listener.ts";

const PEER = { address: "127.0.0.1", port: 40_003 };
const identify = makeIdentify({ kernelProcessId: process.pid });
/** Connects, prints the last line of the answer and waits: nothing but what the shell does itself. */
const CLIENT = `exec 3<>/dev/tcp/169.254.169.254/80; while IFS= read -r line <&3; do :; done; echo "$line"; read -r word`;

let stage: Stage;
let shop: Workshop;
let client = "";
beforeAll(() => {
  stage = openStage(["imds"]);
});
afterAll(() => stage[Symbol.dispose]());
beforeEach(() => {
  shop = openWorkshop();
  client = join(shop.folder, "client");
  copyFileSync("/bin/bash", client);
});
afterEach(() => shop[Symbol.dispose]());

/** Runs a command that ends in the client, and identifies it by the record the kernel kept, while it still runs. */
async function identified(command: readonly string[]) {
  const child = Bun.spawn([...command], { stdin: "pipe", stdout: "pipe", stderr: "inherit", cwd: "/" });
  try {
    const reader = child.stdout.getReader();
    let said = "";
    while (!said.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) break;
      said += new TextDecoder().decode(value);
    }
    const { record } = JSON.parse(said) as Answer;
    if (record === null) throw new Error("want a record, found none");
    expect(record.processId).toBe(child.pid);
    const { executable } = record;
    const pinned: AuditRecord = {
      ...record,
      effectiveUid: record.effectiveUid,
      effectiveGid: record.effectiveGid,
      cgroupId: BigInt(record.cgroupId),
      networkNamespaceCookie: BigInt(record.networkNamespaceCookie),
      socketCookie: BigInt(record.socketCookie),
      startTimeNs: record.startTimeNs === undefined ? undefined : BigInt(record.startTimeNs),
      executable: executable === undefined ? undefined : { ...executable, inode: BigInt(executable.inode) },
    };
    const elsewhere = pinned.executable && { ...pinned.executable, device: pinned.executable.device + 1 };
    return {
      ...(await identify(pinned, "imds", PEER)),
      /** The same while another device is asked for. */
      onOtherDevice: programOf(await identify({ ...pinned, executable: elsewhere }, "imds", PEER)),
    };
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

describe("a redirected caller", () => {
  test("is identified by what the kernel pinned", async () => {
    const caller = await identified([client, "-c", CLIENT]);
    expect(programOf(caller)).toMatchObject({ path: client, name: "client", doubts: [] });
    expect(caller.claims).toMatchObject({ userName: "root", runAsElevated: true });
    expect(caller.claims.processCmdLine).toStartWith(`${client} -c exec 3<>`);
  });

  test("with another user id and group 0 is that user", async () => {
    const caller = await identified(["setpriv", "--reuid=65534", "--regid=0", "--clear-groups", client, "-c", CLIENT]);
    expect(caller.claims).toMatchObject({ userId: 65_534, userName: "nobody", runAsElevated: false, processFullPath: client });
  });

  test.each([
    ["lower", ""],
    ["upper", "touch m/client;"],
  ])("on an overlay of several file systems, %s layer, is the pinned program, at a path that the agent does not see", async (_, change) => {
    mkdirSync(join(shop.folder, "m"));
    const mounts = `mkdir l s; mount -t tmpfs lower l; cp client l/; mount -t tmpfs upper s; mkdir s/u s/w
      mount -t overlay none -o lowerdir=l,upperdir=s/u,workdir=s/w m; ${change}`;
    const script = `cd ${shop.folder}; ${mounts} exec ${shop.folder}/m/client -c '${CLIENT}'`;
    const caller = await identified(["unshare", "--mount", "--propagation", "private", "sh", "-ec", script]);
    const path = join(shop.folder, "m/client");
    expect(programOf(caller)).toMatchObject({
      path: undefined,
      doubts: [`the executable "${path}" is not there in the agent's mount namespace`],
    });
    // Only a process that still runs the pinned file gets a command line.
    expect(caller.claims.processCmdLine).toStartWith(`${path} -c exec 3<>`);
    expect(caller.onOtherDevice).toMatchObject({ commandLine: "", doubts: [expect.stringContaining("another program")] });
  });
});
