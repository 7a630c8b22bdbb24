import { describe, expect, test } from "bun:test";
import type { Log } from "../core/ports.ts";
import { makeSignal } from "./signals.ts";

function set() {
  const errors: unknown[] = [];
  const log: Pick<Log, "error"> = { error: (event, { where }) => void errors.push([event, where]) };
  const heard: string[] = [];
  const hears = (who: string) => [who, (value: string) => void heard.push(`${who} ${value}`)] as const;
  const throws = (who: string) =>
    [
      who,
      () => {
        throw new Error("a defect");
      },
    ] as const;
  return { signal: makeSignal<string>(log), errors, heard, hears, throws };
}

describe("makeSignal", () => {
  test("tells its subscribers in the order in which they subscribed", () => {
    const { signal, heard, hears } = set();
    signal.subscribe(hears("first"), hears("second"));
    signal.subscribe(hears("third"));
    signal.emit("a");
    expect(heard).toEqual(["first a", "second a", "third a"]);
  });

  test("what is emitted before anybody subscribed is lost", () => {
    const { signal, heard, hears } = set();
    signal.emit("a");
    signal.subscribe(hears("late"));
    signal.emit("b");
    expect(heard).toEqual(["late b"]);
  });

  test("T-143: one that fails is logged once, and the others are told every time", () => {
    const { signal, heard, errors, hears, throws } = set();
    signal.subscribe(throws("summary"), hears("trail"));
    for (const value of ["a", "b"]) signal.emit(value);
    expect([heard, errors]).toEqual([["trail a", "trail b"], [["internal-error", "summary"]]]);
  });

  test("each subscriber's own defect is logged", () => {
    const { signal, errors, throws } = set();
    signal.subscribe(throws("summary"), throws("metrics"));
    signal.emit("a");
    expect(errors).toEqual([
      ["internal-error", "summary"],
      ["internal-error", "metrics"],
    ]);
  });
});
