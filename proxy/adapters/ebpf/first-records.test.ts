import { describe, expect, test } from "bun:test";
import { countClients } from "./first-records.ts";

const HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const line = (local: string, remote: string, state = "01") =>
  `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 20 4 30 10 -1\n`;
const LISTENER = "0100007F:0C08";

describe("countClients", () => {
  test("counts a client's socket once, whatever its state, and no other connection", () => {
    const table = HEAD + line("0100007F:C350", LISTENER) + line("0400000A:C351", LISTENER, "06") + line(LISTENER, "0100007F:C350");
    const others =
      line("0100007F:C352", "0100007F:0C09") + line("0100007F:C353", "0200007F:0C08") + line("00000000:0C08", "00000000:0000", "0A");
    expect([...countClients([table + others], 3080)]).toEqual([
      ["0100007F:C350", 1],
      ["0400000A:C351", 1],
    ]);
  });

  test("T-190: two sockets with one address and port are two, also when one of them is mapped", () => {
    const mapped = line("0000000000000000FFFF00000100007F:C350", "0000000000000000FFFF00000100007F:0C08", "02");
    expect([...countClients([HEAD + line("0100007F:C350", LISTENER), HEAD + mapped], 3080)]).toEqual([["0100007F:C350", 2]]);
    expect([...countClients([HEAD + line("0100007F:C350", LISTENER) + line("0100007F:C350", LISTENER, "02")], 3080)]).toEqual([
      ["0100007F:C350", 2],
    ]);
  });

  test.each(["", HEAD, "garbage\n\n: :", line("0100007F", LISTENER)])("finds nothing in %p", (table) => {
    expect([...countClients([table], 3080)]).toEqual([]);
  });
});
