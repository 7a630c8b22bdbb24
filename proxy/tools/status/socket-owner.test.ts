import { describe, expect, test } from "bun:test";
import { findListenerOwner } from "./socket-owner.ts";

const HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const line = (local: string, state: string, uid: number | string) =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000 ${String(uid).padStart(5)}        0 4711 1 0000000000000000 100 0 0 10 0\n`;
const any6 = "0".repeat(32);
const find = (tcp: string, tcp6 = "") => findListenerOwner(HEAD + tcp, HEAD + tcp6, "127.0.0.1", 3080);

describe("findListenerOwner", () => {
  test.each([
    ["root", line("0100007F:0C08", "0A", 0), "", 0],
    ["somebody", line("0100007F:0C08", "0A", 1000), "", 1000],
    ["somebody on all addresses", line("00000000:0C08", "0A", 1000), "", 1000],
    ["the address goes before all addresses", line("00000000:0C08", "0A", 1000) + line("0100007F:0C08", "0A", 0), "", 0],
    ["IPv6, all addresses", "", line(`${any6}:0C08`, "0A", 1000), 1000],
    ["IPv6, mapped", line("00000000:0C08", "0A", 0), line("0000000000000000FFFF00000100007F:0C08", "0A", 1000), 1000],
  ])("%s", (_name, tcp, tcp6, uid) => {
    expect(find(tcp, tcp6)).toBe(uid);
  });

  test.each([
    ["nothing", ""],
    ["another port", line("0100007F:0C09", "0A", 0)],
    ["another address", line("0200007F:0C08", "0A", 0)],
    ["a connection, not a listener", line("0100007F:0C08", "01", 0)],
    ["a line that makes no sense", line("0100007F:0C08", "0A", "root")],
    ["a cut line", "   0: 0100007F:0C08 00000000:0000 0A"],
  ])("nobody: %s", (_name, tcp) => {
    expect(find(tcp)).toBeUndefined();
  });
});
