// What a bench hands over: medians, each next to what it was measured against in the same run, and the bounds we hold to.
// Knows how to show them; measures nothing.

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Measured in the same run, in the same unit. */
  readonly against?: { readonly name: string; readonly value: number };
  readonly bound?: { readonly words: string; readonly holds: boolean };
}

export interface Section {
  readonly title: string;
  /** How it was measured, in one line. */
  readonly how: string;
  readonly figures: readonly Figure[];
}

/** The value at a share of the sorted values: 0.5 is the median. Throws on an empty list, which no bench may hand over. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)];
  const high = sorted[Math.ceil(at)];
  if (low === undefined || high === undefined) throw new Error("internal error: nothing was measured");
  return low + (high - low) * (at - Math.floor(at));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function ratioOf({ value, against }: Figure): number | undefined {
  return against === undefined || against.value === 0 ? undefined : value / against.value;
}

export function atMost(value: number, limit: number, words: string): NonNullable<Figure["bound"]> {
  return { words: `at most ${words}`, holds: value <= limit };
}

export function atLeast(value: number, limit: number, words: string): NonNullable<Figure["bound"]> {
  return { words: `at least ${words}`, holds: value >= limit };
}

export function missedBounds(sections: readonly Section[]): readonly Figure[] {
  return sections.flatMap(({ figures }) => figures.filter(({ bound }) => bound?.holds === false));
}

const HEADINGS = ["", "median", "ratio", "against", "bound"] as const;

export function renderSection({ title, how, figures }: Section): string {
  const rows = figures.map((figure) => {
    const { name, value, unit, against, bound } = figure;
    const ratio = ratioOf(figure);
    return [
      name,
      `${renderNumber(value)} ${unit}`.trim(),
      ratio === undefined ? "" : `${renderNumber(ratio)} x`,
      against === undefined ? "" : `${against.name}: ${renderNumber(against.value)}`,
      bound === undefined ? "" : `${bound.holds ? "OK    " : "MISSED"} ${bound.words}`,
    ];
  });
  const widths = HEADINGS.map((heading, column) => Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === 1 || column === 2 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  return [`== ${title}`, how, line(HEADINGS), ...rows.map(line), ""].join("\n");
}

/** Three significant digits, without an exponent. */
function renderNumber(value: number): string {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 4));
}
