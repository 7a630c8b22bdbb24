import { describe, expect, test } from "bun:test";
import { MAX_ANSWER_BYTES, parseProvisionAnswer } from "./provision-answer.ts";

const bytes = (text: string) => Buffer.from(text, "utf8");
const http = (body: string, head = "HTTP/1.1 200 OK") =>
  bytes(`${head}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
const GOOD = '{"finished":true,"errorMessage":"ü"}';

describe("parseProvisionAnswer", () => {
  test("reads finished and the message", () => {
    expect(parseProvisionAnswer(http(GOOD), false)).toEqual({ ok: true, value: { finished: true, errorMessage: "ü" } });
  });

  test("every beginning of an answer wants more, and is broken off when nothing comes", () => {
    const whole = http(GOOD);
    for (let length = 0; length < whole.length; length++) {
      expect(parseProvisionAnswer(whole.subarray(0, length), false)).toBeUndefined();
      expect(parseProvisionAnswer(whole.subarray(0, length), true)?.ok).toBe(false);
    }
  });

  test.each([
    ["starting", http("{}", "HTTP/1.1 503 Service Unavailable"), "is starting or busy (503)"],
    ["another program", http("{}", "HTTP/1.1 404 Not Found"), "answered 404"],
    ["not HTTP", bytes("SSH-2.0-OpenSSH\r\n\r\n"), "not HTTP"],
    ["a later HTTP", http(GOOD, "HTTP/2 200 OK"), "not HTTP"],
    ["no length", bytes(`HTTP/1.1 200 OK\r\n\r\n${GOOD}`), "without a length"],
    ["chunked", bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "without a length"],
    ["a huge length", bytes("HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n"), "too long"],
    ["an endless head", Buffer.alloc(MAX_ANSWER_BYTES, "x"), "too long"],
    ["text", http("yes"), "not JSON"],
    ["null", http("null"), "not a JSON object"],
    ["a list", http("[]"), 'without "finished"'],
    ["a text for finished", http('{"finished":"true","errorMessage":""}'), 'without "finished"'],
    ["no message", http('{"finished":true}'), 'without "finished"'],
  ])("refuses %s", (_name, answer, message) => {
    const found = parseProvisionAnswer(answer, false);
    expect(found?.ok === false ? found.error : found).toContain(message);
  });
});
