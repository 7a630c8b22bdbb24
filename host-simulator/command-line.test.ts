import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseCommandLine } from "./command-line.ts";
import { HostControlClient } from "./control-client.ts";
import { listenProblem, parseListenAddress } from "./listen-address.ts";
import { startHostSimulator } from "./simulator.ts";

const noFiles = (path: string): string => {
  throw new Error(`no file ${path}`);
};

describe("parseCommandLine", () => {
  test("reads flags in both forms", () => {
    const rules = '{"imds":{"defaultAccess":"deny","mode":"audit","id":"i"},"wireserver":{"defaultAccess":"deny","mode":"audit","id":"w"}}';
    const argv = [
      "--wireserver=enforce",
      "--rules",
      "r.json",
      "--imds-address",
      "127.0.0.1:0",
      "--control=/tmp/c",
      "--clock-offset=-5",
      "-v",
      "--records",
      "7",
    ];
    const line = parseCommandLine(argv, () => rules);
    expect(line).toMatchObject({
      ok: true,
      value: {
        verbose: true,
        maxRecords: 7,
        addresses: { imds: { address: "127.0.0.1", port: 0 } },
        control: { kind: "unix", path: "/tmp/c" },
        // The flag wins over the mode in the file.
        settings: { wireserver: "enforce", imds: "audit", clockOffsetSeconds: -5, rules: { imds: { id: "i" } } },
      },
    });
  });

  test.each([
    [["--imds", "enforced"]],
    [["--imds", "ENFORCE"]],
    [["--imds"]],
    [["--imsd", "audit"]],
    [["audit"]],
    [["--version-of-channel", "1"]],
    [["--version-of-channel", "1.0", "--wireserver", "audit"]],
    [["--date-tolerance", "ten"]],
    [["--date-tolerance", "-1"]],
    [["--clock-offset", "1.5"]],
    [["--imds-address", "localhost:80"]],
    [["--imds-address", "127.0.0.1"]],
    [["--imds-address", "127.0.0.256:80"]],
    [["--control", "8.8.8.8:80"]],
    [["--records", "0"]],
    [["--rules", "missing.json"]],
    [["--toString", "1"]],
  ])("refuses %j", (argv) => {
    const line = parseCommandLine(argv, noFiles);
    expect(line.ok).toBe(false);
    if (!line.ok) expect(line.message).toStartWith("cannot ");
  });

  test.each(["{", "[]", '"x"', '{"imds":1}', '{"imds":{"mode":"on"}}', '{"hosts":{}}'])("refuses the rules %p", (text) => {
    expect(parseCommandLine(["--rules", "r"], () => text).ok).toBe(false);
  });
});

describe("where it may listen", () => {
  const local = new Set(["127.0.0.1", "169.254.169.254"]);

  test("only on addresses of this namespace", () => {
    expect(listenProblem({ address: "169.254.169.254", port: 80 }, local)).toBeUndefined();
    expect(listenProblem({ address: "127.9.9.9", port: 1 }, local)).toBeUndefined();
    expect(listenProblem({ address: "168.63.129.16", port: 80 }, local)).toContain("./scripts/sandbox");
    expect(listenProblem({ address: "0.0.0.0", port: 80 }, local)).toContain("not for a network");
  });

  test.each(["", "127.0.0.1", ":80", "[::1]:80", "127.0.0.1:65536", "127.0.0.1:-1", " 127.0.0.1:80"])("cannot read %p", (found) => {
    expect(parseListenAddress(found).ok).toBe(false);
  });

  test("all endpoints or none", async () => {
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const freePort = free.port;
    free.stop(true);
    const at = (port: number) => ({ address: "127.0.0.1", port });
    const addresses = { wireserver: at(freePort), hostga: at(0), imds: at(taken.port) };
    await expect(startHostSimulator({ addresses })).rejects.toThrow(`cannot listen on 127.0.0.1:${taken.port} for imds`);
    const again = await startHostSimulator({ addresses: { ...addresses, imds: at(0) } });
    expect(again.addresses.wireserver.port).toBe(freePort);
    await again.stop();
    taken.stop(true);
  });
});

describe("the program", () => {
  const folder = mkdtempSync(join(tmpdir(), "host-main-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const run = (...argv: string[]) => ["bun", join(import.meta.dir, "main.ts"), ...argv];

  test("shows help", () => {
    const child = Bun.spawnSync(run("--help"));
    expect([child.exitCode, child.stdout.toString().includes("--wireserver-address")]).toEqual([0, true]);
  });

  test("tells a wrong flag from one that cannot be done", () => {
    const wrong = Bun.spawnSync(run("--imds", "on"));
    expect([wrong.exitCode, wrong.stderr.toString()]).toEqual([64, expect.stringContaining('"imds" is "on"')]);
    const elsewhere = Bun.spawnSync(
      run("--imds-address", "192.0.2.1:80", "--wireserver-address", "127.0.0.1:0", "--hostga-address", "127.0.0.1:0"),
    );
    expect([elsewhere.exitCode, elsewhere.stderr.toString()]).toEqual([
      1,
      expect.stringContaining("not an address of this network namespace"),
    ]);
  });

  test.each(["SIGTERM", "SIGINT"] as const)("runs, is steered, and ends cleanly on %s", async (signal) => {
    const path = join(folder, `${signal}.sock`);
    const rules = join(folder, "rules.json");
    writeFileSync(rules, '{"imds":{"defaultAccess":"allow","mode":"audit","id":"from-file"}}');
    const loopback = ["--wireserver-address", "127.0.0.1:0", "--hostga-address", "127.0.0.1:0", "--imds-address", "127.0.0.1:0"];
    const child = Bun.spawn(run(...loopback, "--control", path, "--verbose", "--rules", rules), { stdout: "pipe" });
    const { addresses } = await new HostControlClient(path).waitUntilUp(20_000);
    const answer = await fetch(`http://127.0.0.1:${addresses.imds.port}/metadata/versions`, { headers: { Metadata: "true" } });
    expect(answer.status).toBe(200);
    child.kill(signal);
    expect(await child.exited).toBe(0);
    const output = await new Response(child.stdout).text();
    expect(output).toContain("ready\n");
    expect(output).toContain("GET /metadata/versions  -> unsigned, 200");
  });
});
