import { describe, expect, test } from "bun:test";
import { controlSocketPath, parseNamespaceLink, readControlSocketKey } from "./control-socket.ts";

describe("parseNamespaceLink", () => {
  test("reads the inode", () => {
    expect(parseNamespaceLink("net:[4026531840]")).toBe("4026531840");
  });

  test.each(["", "net:[]", "mnt:[4026531840]", "net:[40/../26]", "net:[1] ", "net:[-1]", "net:[123456789012345678901]"])(
    "takes %p as none",
    (link) => {
      expect(parseNamespaceLink(link)).toBeUndefined();
    },
  );
});

describe("controlSocketPath", () => {
  test("T-171: by default each network namespace has a name of its own", () => {
    expect(controlSocketPath(undefined, "1")).toBe("/run/azure-proxy-agent/control-1.sock");
    expect(controlSocketPath(undefined, "2")).toBe("/run/azure-proxy-agent/control-2.sock");
  });

  test("what the config names is taken; the empty text and an unknown namespace mean none", () => {
    expect(controlSocketPath("/a/b.sock", "1")).toBe("/a/b.sock");
    expect(controlSocketPath("", "1")).toBeUndefined();
    expect(controlSocketPath(undefined, undefined)).toBeUndefined();
  });
});

describe("readControlSocketKey", () => {
  test.each([
    ['{"controlSocket":"/a/b.sock","other":1}', "/a/b.sock"],
    ['\ufeff{"controlSocket":""}', ""],
    ['{"logFolder":7,"controlSocket":"/a"}', "/a"],
  ])("finds it in %p", (text, path) => {
    expect(readControlSocketKey(text)).toBe(path);
  });

  test.each([
    "",
    "{",
    "[]",
    "null",
    "7",
    '"controlSocket"',
    "{}",
    '{"controlSocket":null}',
    '{"controlSocket":7}',
    '{"controlSocket":"a"}',
  ])("finds none in %p", (text) => {
    expect(readControlSocketKey(text)).toBeUndefined();
  });
});
