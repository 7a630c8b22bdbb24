// Console mode: the daemon for trying it by hand. It ends with a line or the end of standard input, as with signals.

const PROMPT = "Press Enter to end it.\n";

/** @param end - called once */
export function whenEnterIsPressed(end: () => void): void {
  let ended = false;
  const once = () => {
    if (ended) return;
    ended = true;
    process.stdin.pause();
    end();
  };
  process.stdin.on("data", (bytes: Buffer) => {
    if (bytes.includes(0x0a)) once();
  });
  process.stdin.on("end", once);
  process.stdin.on("error", once);
  process.stdout.write(PROMPT);
}
