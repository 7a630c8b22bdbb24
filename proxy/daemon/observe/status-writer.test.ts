import { describe, expect, test } from "bun:test";
import { until } from "../../../test/support/until.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { makeStatusWriter } from "./status-writer.ts";

function set() {
  const seen = { written: [] as unknown[], errors: [] as string[], nowMs: 0, asked: 0 };
  let answer: () => Promise<Result<void, { readonly message: string }>> = async () => ok(undefined);
  const log = { error: (event: string) => void seen.errors.push(event), warn() {}, info() {}, debug() {} };
  const writer = makeStatusWriter({
    current: () => ++seen.asked,
    write: (status) => {
      seen.written.push(status);
      return answer();
    },
    eachTime: () => {},
    log,
    monotonicMs: () => seen.nowMs,
  });
  return { seen, writer, answerWith: (next: typeof answer) => void (answer = next) };
}

describe("makeStatusWriter", () => {
  test("a burst of changes is written once, and nothing is written after the last time", async () => {
    const { seen, writer } = set();
    seen.nowMs = 10_000;
    for (let change = 0; change < 20; change += 1) writer.changed();
    expect(seen.written).toEqual([]);
    await until("a status is written", () => seen.written.length > 0);
    expect(seen.written).toEqual([1]);
    writer.changed();
    await writer.stop();
    writer.changed();
    writer.afterPoll();
    await Bun.sleep(120);
    expect(seen.written).toEqual([1, 2]);
  });

  test("changes without end do not put it off without end", async () => {
    const { seen, writer } = set();
    seen.nowMs = 10_000;
    const storm = setInterval(() => writer.changed(), 5);
    await until("a status is written", () => seen.written.length > 0);
    clearInterval(storm);
    expect(seen.written).toEqual([1]);
    await writer.stop();
  });

  test("T-146: a disk that stalls has one write at a time, and the last one comes after it", async () => {
    const { seen, writer, answerWith } = set();
    const { promise, resolve } = Promise.withResolvers<Result<void, { readonly message: string }>>();
    answerWith(() => promise);
    seen.nowMs = 100_000;
    writer.afterPoll();
    seen.nowMs = 200_000;
    writer.afterPoll();
    const stopped = writer.stop();
    expect(seen.written).toEqual([1]);
    resolve(ok(undefined));
    await stopped;
    expect(seen.written).toEqual([1, 2]);
  });

  test("what cannot be written is told, and told no more once it works", async () => {
    const { seen, writer, answerWith } = set();
    answerWith(async () => err({ message: "no room" }));
    await writer.stop();
    expect([seen.errors, writer.failure()]).toEqual([["status-not-written"], "no room"]);
    answerWith(async () => ok(undefined));
    await writer.stop();
    expect(writer.failure()).toBeUndefined();
  });

  test("once a minute, with a poll that comes anyway", async () => {
    const { seen, writer } = set();
    for (let poll = 0; poll <= 12; poll += 1) {
      seen.nowMs = poll * 15_050;
      writer.afterPoll();
      await Bun.sleep(0);
    }
    expect(seen.written).toEqual([1, 2, 3]);
    await writer.stop();
  });
});
