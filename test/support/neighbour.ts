// Another machine on the wire: a network namespace of its own at the other end of a veth pair. It believes nothing about addresses,
// may send to the machine's loopback addresses, and counts what arrives.

import { readlinkSync } from "node:fs";
import type { Subprocess } from "bun";
import { until } from "./until.ts";
import { runProgram } from "./world.ts";

export const DEVICE = "apa-veth0";
export const MACHINE = "10.213.0.1";
export const NEIGHBOUR = "10.213.0.2";
const PEER = "apa-veth1";

/** Prints "ready", then for each IPv4 TCP segment or ARP question that arrives from the machine: its kind and whom it is for. */
const SNIFF = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("${PEER}", 0))
print("ready", flush=True)
while True:
    frame, (_, protocol, kind, _, _) = s.recvfrom(65535)
    if kind == socket.PACKET_OUTGOING:
        continue
    if protocol == 0x0806:
        print("arp", socket.inet_ntoa(frame[38:42]), flush=True)
    elif protocol == 0x0800 and frame[23] == 6:
        header = 14 + (frame[14] & 15) * 4
        print("syn" if frame[header + 13] & 2 else "tcp", socket.inet_ntoa(frame[30:34]), flush=True)
`;

export class Neighbour implements AsyncDisposable {
  readonly #holder: Subprocess;
  readonly #sniffer: Subprocess<"ignore", "pipe", "inherit">;
  /** What arrived so far, as "syn ADDRESS", "tcp ADDRESS" or "arp ADDRESS". */
  readonly arrived: string[] = [];

  private constructor(holder: Subprocess, sniffer: Subprocess<"ignore", "pipe", "inherit">) {
    this.#holder = holder;
    this.#sniffer = sniffer;
  }

  static async connect(): Promise<Neighbour> {
    const holder = Bun.spawn(["unshare", "--net", "sleep", "infinity"], { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
    const inside = ["nsenter", "-t", String(holder.pid), "-n", "--"];
    await untilApart(holder.pid);
    for (const command of [
      ["ip", "link", "add", DEVICE, "type", "veth", "peer", "name", PEER, "netns", String(holder.pid)],
      ["ip", "address", "add", `${MACHINE}/24`, "dev", DEVICE],
      ["ip", "link", "set", DEVICE, "up"],
      // As Kubernetes sets it on nodes: without it the kernel itself would refuse loopback addresses from a wire.
      ["sysctl", "-qw", `net.ipv4.conf.${DEVICE}.route_localnet=1`, `net.ipv4.conf.${DEVICE}.rp_filter=0`, "net.ipv4.conf.all.rp_filter=0"],
      [...inside, "ip", "address", "add", `${NEIGHBOUR}/24`, "dev", PEER],
      [...inside, "ip", "link", "set", PEER, "up"],
      [...inside, "sysctl", "-qw", `net.ipv4.conf.${PEER}.route_localnet=1`, "net.ipv4.conf.all.rp_filter=0"],
      // Its own loopback device stays down and without addresses, so 127.0.0.0/8 can lie behind the wire.
      [...inside, "ip", "route", "add", "127.0.0.0/8", "via", MACHINE, "dev", PEER, "src", NEIGHBOUR],
      [...inside, "ip", "route", "add", "169.254.169.254/32", "via", MACHINE],
      [...inside, "ip", "route", "add", "168.63.129.16/32", "via", MACHINE],
    ])
      await run(command);
    const sniffer = Bun.spawn([...inside, "/usr/bin/python3", "-c", SNIFF], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    const neighbour = new Neighbour(holder, sniffer);
    await neighbour.#listen();
    return neighbour;
  }

  /** connect(2) from there, straight to an address: "connected", or the error's name. */
  async dial(address: string, port: number): Promise<string> {
    const script = `
import errno, socket
s = socket.socket(); s.settimeout(2)
try:
    s.connect(("${address}", ${port})); print("connected")
except TimeoutError: print("ETIMEDOUT")
except OSError as e: print(errno.errorcode.get(e.errno, str(e)))`;
    const { stdout } = await runProgram(["nsenter", "-t", String(this.#holder.pid), "-n", "--", "/usr/bin/python3", "-c", script]);
    return stdout.trim();
  }

  async #listen(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const decoder = new TextDecoder();
    (async () => {
      let rest = "";
      for await (const bytes of this.#sniffer.stdout) {
        const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          if (line === "ready") resolve();
          else this.arrived.push(line);
        }
      }
    })();
    await promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sniffer.kill("SIGKILL");
    this.#holder.kill("SIGKILL");
    await Promise.all([this.#sniffer.exited, this.#holder.exited]);
    await runProgram(["ip", "link", "delete", DEVICE]);
  }
}

async function run(command: readonly string[]): Promise<void> {
  const { code, stderr } = await runProgram(command);
  if (code !== 0) throw new Error(`cannot run "${command.join(" ")}": ${stderr.trim()}`);
}

/** Until the process is in a namespace of its own: unshare(1) takes a moment. */
async function untilApart(pid: number): Promise<void> {
  const namespaceOf = (process: string) => readlinkSync(`/proc/${process}/ns/net`);
  await until("the neighbour has a network namespace of its own", () => namespaceOf(String(pid)) !== namespaceOf("self"));
}
