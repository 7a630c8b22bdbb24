// What a person reads: headings, commands, labelled lines, tables. Never wider than 100 columns; colour only on a terminal.
// Text from programs and hosts loses its control characters here, so that nothing can move the reader's terminal.

const WIDTH = 100;
const LABEL_WIDTH = 9;
const INDENT = "    ";
/** Characters on one line of a fact. */
export const FACT_WIDTH = WIDTH - INDENT.length - LABEL_WIDTH;

type Colour = "bold" | "dim" | "green" | "red" | "cyan";
const CODES: Readonly<Record<Colour, number>> = { bold: 1, dim: 2, green: 32, red: 31, cyan: 36 };

export class Screen {
  readonly #colours: boolean;
  readonly #write: (text: string) => void;

  constructor(colours: boolean, write: (text: string) => void) {
    this.#colours = colours;
    this.#write = write;
  }

  /** Starts a part of the demo, with a few sentences on what is about to be seen. */
  heading(title: string, about: string): void {
    this.#line();
    this.#line(this.#paint("bold", `== ${title} ${"=".repeat(Math.max(0, WIDTH - title.length - 4))}`));
    for (const line of wrap(about, WIDTH)) this.#line(line);
  }

  /** A command as it was run, to be copied: long ones are broken between arguments. */
  command(prompt: string, words: readonly string[]): void {
    this.#line();
    const lines = breakCommand(`  ${prompt} `.length, words);
    lines.forEach((line, index) => {
      this.#line(index === 0 ? `  ${this.#paint("dim", prompt)} ${this.#paint("bold", line)}` : `      ${this.#paint("bold", line)}`);
    });
  }

  /** `label  text`; what is longer than the line goes on below its own beginning. */
  fact(label: string, text: string, colour?: Colour): void {
    wrap(text, FACT_WIDTH).forEach((line, index) => {
      const head = this.#paint("cyan", (index === 0 ? label : "").padEnd(LABEL_WIDTH));
      this.#line(`${INDENT}${head}${colour === undefined ? line : this.#paint(colour, line)}`);
    });
  }

  /** A line of a table or of code, cut at the margin. */
  row(text: string): void {
    this.#line(`${INDENT}${clip(text, WIDTH - INDENT.length)}`);
  }

  blank(): void {
    this.#line();
  }

  /** A promise that was kept. */
  kept(text: string): void {
    this.fact("ok", text, "green");
  }

  broken(text: string): void {
    this.#line();
    for (const line of text.split("\n")) {
      for (const part of wrap(clip(line, 4 * WIDTH), WIDTH)) this.#line(this.#paint("red", part));
    }
  }

  #line(text = ""): void {
    this.#write(`${text}\n`);
  }

  #paint(colour: Colour, text: string): string {
    return this.#colours && text !== "" ? `\x1b[${CODES[colour]}m${text}\x1b[0m` : text;
  }
}

/** Breaks text at blanks; words longer than a line (paths, JSON) are broken anywhere. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of plain(text).split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (longer.length <= width) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    line = word;
    for (; line.length > width; line = line.slice(width)) lines.push(line.slice(0, width));
  }
  return [...lines, line];
}

function breakCommand(firstIndent: number, words: readonly string[]): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of words.map(quote)) {
    const room = WIDTH - Math.max(firstIndent, 6) - " \\".length;
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(`${line} \\`);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** Quotes a word as a shell needs it. */
function quote(word: string): string {
  return /^[A-Za-z0-9_./:=@%,+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export function clip(text: string, width: number): string {
  const clean = plain(text);
  return clean.length <= width ? clean : `${clean.slice(0, width - 3)}...`;
}

function plain(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]+/g, " ");
}
