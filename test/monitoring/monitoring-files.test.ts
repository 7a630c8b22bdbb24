// Dashboard, alert rules and the table in operations.md name only what the agent really exposes, and all of it.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { METRICS } from "../../proxy/core/metrics/metric-list.ts";
import { exposeEverything, parseExposition, requestEnd } from "../support/metrics.ts";

const ROOT = join(import.meta.dir, "../..");
const OPERATIONS = readFileSync(join(ROOT, "docs/operations.md"), "utf8");
const ALERTS: unknown = Bun.YAML.parse(readFileSync(join(ROOT, "docs/monitoring/alerts.yml"), "utf8"));
const DASHBOARD: unknown = JSON.parse(readFileSync(join(ROOT, "docs/monitoring/dashboard.json"), "utf8"));

/** Rendered by the agent's own code; a module has answered, so that its metric has a sample. */
const EXPOSED = (() => {
  const { metrics, text } = exposeEverything();
  const outcome = { name: "m", kind: "allow", reason: "", rule: "", labels: [], failed: false, applied: true } as const;
  metrics.countRequest(requestEnd({ modules: [outcome] }));
  return parseExposition(text());
})();
const SAMPLE_NAMES = new Set(EXPOSED.samples.map(({ name }) => name));

/** Every text below a member of that name. */
function textsOf(value: unknown, member: string): readonly string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, below]) =>
    name === member && typeof below === "string" ? [below] : textsOf(below, member),
  );
}

function metricsIn(expressions: readonly string[]): readonly string[] {
  return [...new Set(expressions.flatMap((text) => text.match(/azure_proxy_agent_[a-z0-9_]+/g) ?? []))];
}

/** Label matchers such as `{state="latched"}`, as metric, label and the words that are asked for. */
function selectorsIn(expressions: readonly string[]) {
  return expressions.flatMap((text) =>
    [...text.matchAll(/(azure_proxy_agent_[a-z0-9_]+)\{([^}]*)\}/g)].flatMap(([, metric = "", inside = ""]) =>
      [...inside.matchAll(/([a-z]+)(=~|!=|=)"([^"]*)"/g)].map(([, label = "", , words = ""]) => ({
        metric,
        label,
        words: words.split("|"),
      })),
    ),
  );
}

describe("monitoring files", () => {
  test("the agent exposes exactly the metrics of its list, each with help and type and at least one sample", () => {
    expect([...EXPOSED.types.keys()].sort()).toEqual(
      Object.values(METRICS)
        .map(({ name }) => name)
        .sort(),
    );
    const bare = [...EXPOSED.types.keys()].filter((name) => ![name, `${name}_bucket`].some((sample) => SAMPLE_NAMES.has(sample)));
    expect(bare).toEqual([]);
  });

  test("names follow the format's customs", () => {
    for (const { name, type } of Object.values(METRICS)) {
      expect([name, name.endsWith("_total")]).toEqual([name, type === "counter"]);
      expect(name).toStartWith("azure_proxy_agent_");
    }
  });

  test.each([
    ["alerts.yml", textsOf(ALERTS, "expr"), 15],
    ["dashboard.json", textsOf(DASHBOARD, "expr"), 30],
  ])("%s names only metrics and label values that exist", (_file, expressions, least) => {
    expect(expressions.length).toBeGreaterThan(least);
    expect(metricsIn(expressions).filter((name) => !SAMPLE_NAMES.has(name))).toEqual([]);
    const known = selectorsIn(expressions).filter(({ label }) => label !== "instance");
    const missing = known.filter(({ metric, label, words }) => {
      const values = EXPOSED.samples.filter(({ name }) => name === metric).map(({ labels }) => labels.get(label));
      return !words.every((word) => values.includes(word));
    });
    expect(missing).toEqual([]);
  });

  test("the dashboard shows every metric", () => {
    const shown = metricsIn([...textsOf(DASHBOARD, "expr"), ...textsOf(DASHBOARD, "query")]).map((name) =>
      name.replace(/_(?:bucket|sum|count)$/, ""),
    );
    expect(Object.values(METRICS).filter(({ name }) => !shown.includes(name))).toEqual([]);
  });

  test("the dashboard's panels have places and ids of their own", () => {
    const panels = (
      DASHBOARD as { readonly panels: readonly { readonly id: number; readonly gridPos: Readonly<Record<string, number>> }[] }
    ).panels;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { gridPos } of panels) expect((gridPos.x ?? 0) + (gridPos.w ?? 0)).toBeLessThanOrEqual(24);
    expect(new Set(panels.map(({ gridPos }) => `${gridPos.x},${gridPos.y}`)).size).toBe(panels.length);
  });

  test("each alert says how grave it is, what happened and what to do", () => {
    const { groups } = ALERTS as { readonly groups: readonly { readonly rules: readonly Readonly<Record<string, unknown>>[] }[] };
    const rules = groups.flatMap((group) => group.rules);
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    for (const { alert, labels, annotations } of rules)
      expect({ alert, labels, annotations }).toMatchObject({
        alert: expect.stringMatching(/^AzureProxyAgent[A-Z]/),
        labels: { severity: expect.stringMatching(/^(critical|warning|info)$/) },
        annotations: { summary: expect.any(String), action: expect.any(String) },
      });
  });

  test("operations.md lists every metric with its type, and no other", () => {
    const section = OPERATIONS.split("\n## Metrics\n")[1]?.split("\n## ")[0] ?? "";
    const rows = [...section.matchAll(/^\| `(azure_proxy_agent_[a-z0-9_]+)` \| ([a-z]+) \|/gm)].map(([, name, type]) => `${name} ${type}`);
    expect(rows.sort()).toEqual(
      Object.values(METRICS)
        .map(({ name, type }) => `${name} ${type}`)
        .sort(),
    );
  });
});
