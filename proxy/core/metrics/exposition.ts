// Metrics as text in Prometheus' exposition format 0.0.4. Renders what it is given; counts nothing.

export type MetricType = "counter" | "gauge" | "histogram";

export interface Metric {
  readonly name: string;
  readonly type: MetricType;
  /** One line. */
  readonly help: string;
}

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** One label set of a histogram. */
export interface HistogramSample {
  readonly labels: Labels;
  /** Upper bounds in seconds, rising; what is above the last one counts only in the total. */
  readonly bounds: readonly number[];
  /** Of each bucket alone, and at the end what is above the last bound. */
  readonly counts: ArrayLike<number>;
  readonly sum: number;
}

export interface Family {
  readonly metric: Metric;
  readonly samples: readonly (Sample | HistogramSample)[];
}

export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Writes help and type of every family, also when it has no sample now. */
export function renderExposition(families: readonly Family[]): string {
  const lines: string[] = [];
  for (const { metric, samples } of families) {
    lines.push(
      `# HELP ${metric.name} ${metric.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`,
      `# TYPE ${metric.name} ${metric.type}`,
    );
    for (const sample of samples) {
      if ("bounds" in sample) lines.push(...renderHistogram(metric.name, sample));
      else lines.push(`${metric.name}${renderLabels(sample.labels)} ${renderValue(sample.value)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function renderHistogram(name: string, { labels, bounds, counts, sum }: HistogramSample): readonly string[] {
  let total = 0;
  const buckets = bounds.map((bound, index) => {
    total += counts[index] ?? 0;
    return `${name}_bucket${renderLabels({ ...labels, le: renderValue(bound) })} ${renderValue(total)}`;
  });
  total += counts[bounds.length] ?? 0;
  return [
    ...buckets,
    `${name}_bucket${renderLabels({ ...labels, le: "+Inf" })} ${renderValue(total)}`,
    `${name}_sum${renderLabels(labels)} ${renderValue(sum)}`,
    `${name}_count${renderLabels(labels)} ${renderValue(total)}`,
  ];
}

function renderLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** The format would pass a control character on, to a terminal for example. */
function escapeLabel(value: string): string {
  return value
    .replaceAll("\\", "\\\\")
    .replaceAll('"', '\\"')
    .replaceAll("\n", "\\n")
    .replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, "?");
}

function renderValue(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(value);
}
