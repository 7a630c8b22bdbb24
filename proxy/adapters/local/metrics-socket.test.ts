import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serveMetrics } from "./metrics-socket.ts";
import type { UnixServer } from "./unix-socket.ts";

let folder: string;
let path: string;
const open: UnixServer[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "metrics-socket-"));
  path = join(folder, "agent/metrics.sock");
});

afterEach(async () => {
  for (const socket of open.splice(0)) await socket.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function serve(render = () => "up 1\n", at = path): Promise<string> {
  const served = await serveMetrics(at, render);
  if (!served.ok) return served.error;
  open.push(served.value);
  return "served";
}

function ask(target: string, method = "GET"): Promise<Response> {
  return fetch(`http://agent${target}`, { unix: path, method });
}

/** Leaves a socket that nobody listens on. */
async function leaveStaleSocket(): Promise<void> {
  mkdirSync(join(folder, "agent"), { mode: 0o755 });
  const script = `Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } }); process.kill(process.pid, "SIGKILL");`;
  await Bun.spawn([process.execPath, "-e", script], { stdout: "ignore", stderr: "ignore" }).exited;
  if (!lstatSync(path).isSocket()) throw new Error("the stale socket was not left");
}

describe("serveMetrics", () => {
  test("answers with what is rendered for each request, in the format's own type", async () => {
    let asked = 0;
    expect(await serve(() => `scrapes ${++asked}\n`)).toBe("served");
    for (const wanted of ["scrapes 1\n", "scrapes 2\n"]) {
      const response = await ask("/metrics");
      expect([response.status, response.headers.get("content-type"), await response.text()]).toEqual([
        200,
        "text/plain; version=0.0.4; charset=utf-8",
        wanted,
      ]);
    }
    expect([(await ask("/")).status, (await ask("/metrics", "POST")).status]).toEqual([404, 404]);
  });

  test("T-140: the socket is for its owner and group, in a folder that only the owner may write to", async () => {
    await serve();
    expect([statSync(path).mode & 0o777, statSync(join(folder, "agent")).mode & 0o777]).toEqual([0o660, 0o755]);
  });

  test("a rendering that throws is answered 500 and the next one works", async () => {
    let broken = true;
    await serve(() => {
      if (broken) throw new Error("bug");
      return "up 1\n";
    });
    expect((await ask("/metrics")).status).toBe(500);
    broken = false;
    expect((await ask("/metrics")).status).toBe(200);
  });

  test("replaces a socket that a dead process left", async () => {
    await leaveStaleSocket();
    expect(await serve()).toBe("served");
    expect((await ask("/metrics")).status).toBe(200);
  });

  test("T-140: leaves a socket alone on which somebody listens", async () => {
    expect(await serve()).toBe("served");
    expect(await serve()).toContain("another process listens there");
    expect((await ask("/metrics")).status).toBe(200);
  });

  test("T-140: does not follow or replace what is no socket", async () => {
    mkdirSync(join(folder, "agent"), { mode: 0o755 });
    writeFileSync(path, "precious");
    expect(await serve()).toContain("want a socket or nothing");
    rmSync(path);
    symlinkSync(join(folder, "elsewhere"), path);
    expect(await serve()).toContain("want a socket or nothing");
    expect(existsSync(join(folder, "elsewhere"))).toBe(false);
  });

  test("T-140: refuses a folder that others may write to, or that is a link", async () => {
    mkdirSync(join(folder, "agent"));
    chmodSync(join(folder, "agent"), 0o775);
    expect(await serve()).toContain("the folder's mode is 0775");
    rmSync(join(folder, "agent"), { recursive: true });
    mkdirSync(join(folder, "real"));
    symlinkSync(join(folder, "real"), join(folder, "agent"));
    expect(await serve()).toContain("found no directory");
  });

  test("says when the path is too long for a socket, or its place is a file", async () => {
    expect(await serve(undefined, join(folder, "x".repeat(120)))).toContain("want at most 107");
    writeFileSync(join(folder, "agent"), "");
    expect(await serve()).toStartWith(`cannot serve metrics on "${path}": `);
  });

  test("is gone after stop, but not a successor's socket", async () => {
    const first = await serveMetrics(path, () => "first 1\n");
    rmSync(path);
    await serve(() => "second 1\n");
    if (first.ok) await first.value.stop();
    expect(await (await ask("/metrics")).text()).toBe("second 1\n");
    await open.pop()?.stop();
    expect(existsSync(path)).toBe(false);
  });
});
