import { describe, expect, test } from "bun:test";
import {
  CHUNK_HEADERS,
  isLookAlike,
  OUR_HEADERS,
  REQUEST_HOP_BY_HOP,
  RESPONSE_FRAMING,
  RESPONSE_HOP_BY_HOP,
  trimBlanks,
} from "./header-names.ts";

const NAMES = [
  ...["connection", "keep-alive", "proxy-connection", "upgrade", "te", "trailer", "expect", "content-length", "transfer-encoding"],
  ...["host", "x-ms-azure-host-authorization", "x-ms-azure-host-date", "x-ms-azure-host-claims", "x-forwarded-for", "metadata", ""],
];

describe("sets of header names", () => {
  test.each([
    ["ours", OUR_HEADERS, ["x-ms-azure-host-authorization", "x-ms-azure-host-date", "x-ms-azure-host-claims"]],
    [
      "hop-by-hop in a request",
      REQUEST_HOP_BY_HOP,
      ["connection", "keep-alive", "proxy-connection", "upgrade", "te", "trailer", "expect", "content-length", "transfer-encoding"],
    ],
    ["hop-by-hop in a response", RESPONSE_HOP_BY_HOP, ["connection", "keep-alive", "proxy-connection", "upgrade"]],
    ["about chunks", CHUNK_HEADERS, ["trailer", "transfer-encoding"]],
    ["framing of a response", RESPONSE_FRAMING, ["trailer", "content-length", "transfer-encoding"]],
  ])("%s, in any letter case, and no others", (_what, names, wanted) => {
    expect(NAMES.filter((name) => names.has(name))).toEqual(wanted);
    expect(NAMES.filter((name) => names.has(name.toUpperCase()))).toEqual(wanted);
  });

  test.each(["Content_Length", "transfer_encoding", "X_MS_Azure_Host_Claims", "x-ms-azure-host_anything"])(
    "%s looks like a reserved name",
    (name) => {
      expect(isLookAlike(name)).toBe(true);
    },
  );

  test.each(["Content-Length", "content_type", "X_Forwarded_For", "host", "x-ms-azure-host-date"])("%s does not", (name) => {
    expect(isLookAlike(name)).toBe(false);
  });
});

test.each([
  ["", ""],
  [" \t ", ""],
  ["a", "a"],
  ["\t a b\t c \t", "a b\t c"],
  ["\xa0a\xa0", "\xa0a\xa0"],
])("trimBlanks of %j is %j", (text, wanted) => {
  expect(trimBlanks(text)).toBe(wanted);
  expect(trimBlanks(`x${text}y`, 1, text.length + 1)).toBe(wanted);
});
