// Reads Markdown as far as the docs check needs it: headings and their anchors, links, fenced blocks, table rows. Pure.
// Not a Markdown parser: it knows the plain forms our documents use and nothing else.

/** Something found at a line of a document, counted from 1. */
export interface Located {
  readonly line: number;
  readonly text: string;
}

export interface Fence {
  /** Line of the first content line. */
  readonly line: number;
  /** Word after the opening fence; empty when there is none. */
  readonly language: string;
  readonly text: string;
}

export interface Document {
  /** Anchors as GitHub makes them from headings, repeated ones numbered. */
  readonly anchors: ReadonlySet<string>;
  /** Targets of inline links, outside fences and code spans. */
  readonly links: readonly Located[];
  readonly fences: readonly Fence[];
  /** First cells of table body rows, with the heading they stand under. */
  readonly rows: readonly (Located & { readonly heading: string; readonly cells: readonly string[] })[];
}

export function parseDocument(text: string): Document {
  const anchors = new Set<string>();
  const links: Located[] = [];
  const fences: Fence[] = [];
  const rows: (Located & { heading: string; cells: readonly string[] })[] = [];
  let heading = "";
  let inTableBody = false;
  let fence: { line: number; language: string; lines: string[] } | undefined;

  for (const [index, lineText] of text.split("\n").entries()) {
    const line = index + 1;
    if (fence !== undefined) {
      if (/^```\s*$/.test(lineText)) {
        fences.push({ line: fence.line, language: fence.language, text: fence.lines.join("\n") });
        fence = undefined;
      } else fence.lines.push(lineText);
      continue;
    }
    const opened = /^```([A-Za-z0-9]*)\s*$/.exec(lineText);
    if (opened !== null) {
      fence = { line: line + 1, language: opened[1] ?? "", lines: [] };
      continue;
    }
    const title = /^#{1,6} +(.*?) *$/.exec(lineText)?.[1];
    if (title !== undefined) {
      heading = title;
      anchors.add(uniqueAnchor(anchors, title));
    }
    const cells = parseRow(lineText);
    if (cells === undefined) inTableBody = false;
    else if (cells.every((cell) => /^:?-+:?$/.test(cell))) inTableBody = true;
    else if (inTableBody) rows.push({ line, text: cells[0] ?? "", heading, cells });
    for (const match of lineText.replace(/`[^`]*`/g, "").matchAll(/\]\(([^()\s]+)\)/g)) links.push({ line, text: match[1] ?? "" });
  }
  return { anchors, links, fences, rows };
}

/** The words in code spans of a cell. */
export function codeSpans(cell: string): readonly string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");
}

/** Cells of a table line, or undefined when the line is none. `\|` stays part of its cell. */
function parseRow(line: string): readonly string[] | undefined {
  if (!/^\|.*\|\s*$/.test(line)) return undefined;
  return line
    .trim()
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());
}

function uniqueAnchor(known: ReadonlySet<string>, title: string): string {
  const base = title
    .toLowerCase()
    .replace(/`/g, "")
    .replace(/[^\p{L}\p{N}\-_ ]/gu, "")
    .replaceAll(" ", "-");
  for (let count = 0; ; count++) {
    const anchor = count === 0 ? base : `${base}-${count}`;
    if (!known.has(anchor)) return anchor;
  }
}
