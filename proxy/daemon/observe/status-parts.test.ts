import { describe, expect, test } from "bun:test";
import type { StatusPart } from "../../core/status/status-part.ts";
import { makeStatusParts } from "./status-parts.ts";

const part = (name: string, health: "ok" | "degraded" | "failed", more: Partial<StatusPart> = {}): StatusPart => ({
  name,
  report: () => ({ health, message: `${name} says`, details: { count: 1 } }),
  ...more,
});

describe("makeStatusParts", () => {
  test("each part has its member; only what is not well is noted", () => {
    const parts = makeStatusParts(["epoch"]);
    parts.add(part("trail", "ok"));
    parts.add(part("telemetry", "degraded"));
    expect(parts.read()).toEqual({
      details: { trail: { count: 1 }, telemetry: { count: 1 } },
      notes: [{ part: "telemetry", health: "degraded", message: "telemetry says" }],
      modules: {},
    });
  });

  test("a part speaks for a module; a failed one wins over a later good one", () => {
    const parts = makeStatusParts([]);
    parts.add(part("telemetry", "degraded", { module: "telemetryLoggerStatus" }));
    parts.add(part("programs", "failed", { module: "ebpfProgramStatus" }));
    parts.add(part("pins", "ok", { module: "ebpfProgramStatus" }));
    expect(parts.read().modules).toEqual({
      telemetryLoggerStatus: { status: "RUNNING", message: "telemetry says" },
      ebpfProgramStatus: { status: "STOPPED", message: "programs says" },
    });
  });

  test("a part that is well and silent takes no words from the one before", () => {
    const parts = makeStatusParts([]);
    parts.add(part("kernel", "degraded", { module: "ebpfProgramStatus" }));
    parts.add(part("redirect", "ok", { module: "ebpfProgramStatus", report: () => ({ health: "ok", message: "", details: undefined }) }));
    expect(parts.read().modules).toEqual({ ebpfProgramStatus: { status: "RUNNING", message: "kernel says" } });
  });

  test("a part that throws is failed and the others still speak", () => {
    const parts = makeStatusParts([]);
    const report = (): never => {
      throw new Error("no luck");
    };
    parts.add(part("broken", "ok", { report }));
    parts.add(part("trail", "ok"));
    const { notes, details } = parts.read();
    expect(notes).toEqual([{ part: "broken", health: "failed", message: "internal error in status of broken: no luck" }]);
    expect(details).toEqual({ trail: { count: 1 } });
  });

  test.each(["epoch", "trail"])("refuses the name %p, which is taken", (name) => {
    const parts = makeStatusParts(["epoch"]);
    parts.add(part("trail", "ok"));
    expect(() => parts.add(part(name, "ok"))).toThrow("internal error");
  });

  test("long messages are cut by characters", () => {
    const parts = makeStatusParts([]);
    parts.add(part("trail", "failed", { report: () => ({ health: "failed", message: "🔑".repeat(2000), details: undefined }) }));
    const message = parts.read().notes[0]?.message ?? "";
    expect([...message]).toHaveLength(1024);
    expect(message.endsWith("🔑...")).toBe(true);
  });
});
