import { describe, expect, test } from "bun:test";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { covers, describeShape, isVariable, type ShapeError, shapeRequest } from "./request-shape.ts";

const GUID = "1B4E28BA-2FA1-11D2-883F-0016D3CCA427";

function shapeOf(target: string, endpoint: Endpoint = "imds"): string {
  const shaped = shapeRequest(endpoint, "GET", target);
  return shaped.ok ? describeShape(shaped.value.shape) : shaped.error;
}

describe("shapeRequest", () => {
  test.each<[Endpoint, string, string]>([
    ["imds", "/metadata/instance?api-version=2021-02-01&format=text", "/metadata/instance"],
    ["imds", "/METADATA/./Instance//compute", "/metadata/instance/compute"],
    ["imds", "/metadata/instance/network/interface/0/macAddress", "/metadata/instance/network/interface"],
    ["imds", `/metadata/${GUID}/x`, `/metadata/${GUID.toLowerCase()}/x`],
    [
      "imds",
      "/metadata/identity/oauth2/token?resource=https%3A%2F%2FVault&client_id=1&bypass_cache=true",
      "/metadata/identity/oauth2/token?client_id=1&resource=https://vault",
    ],
    ["imds", "/t/u?resource=a&resource=a", "/t/u?resource=a"],
    ["wireserver", "/machine/?comp=goalstate", "/machine?comp=goalstate"],
    ["wireserver", `/machine/${GUID}/${GUID}._vm?comp=config&type=full&incarnation=1`, "/machine?comp=config"],
    ["wireserver", "/12345/x", "/12345/x"],
    ["hostga", "/vmSettings", "/vmsettings"],
    ["imds", `/a/b${"/c".repeat(100)}`, `/a/b${"/c".repeat(62)}`],
  ])("%s %p is %p", (endpoint, target, shape) => {
    expect(shapeOf(target, endpoint)).toBe(shape);
  });

  test.each<[string, ShapeError]>([
    ["/", "root-path"],
    ["/?comp=versions", "root-path"],
    ["/..", "no-clear-reading"],
    ["/%zz", "no-clear-reading"],
    ["http://other.example/metadata/instance", "no-clear-reading"],
    ["/a\ud800", "no-clear-reading"],
    ["/t?resource=a&resource=b", "contradicting-parameters"],
    ["/metadata/key=[REDACTED]", "hidden-in-log"],
    ["/metadata/x?client_id=[REDACTED]", "hidden-in-log"],
    [`/${"a".repeat(8200)}…`, "cut-in-log"],
  ])("%p is in no privilege: %s", (target, error) => {
    expect(shapeOf(target)).toBe(error);
  });

  test("a method that is not let through is in no privilege", () => {
    expect(shapeRequest("imds", "TRACE", "/metadata/instance")).toEqual({ ok: false, error: "no-clear-reading" });
  });
});

test.each<[string, boolean]>([
  ["0", true],
  ["20210201", true],
  ["2021-02-01", true],
  [GUID.toLowerCase(), true],
  ["deadbeef01", true],
  ["q7f8s9d0aj3k4l5h6g7f8s9d0aj3k4l5", true],
  ["instance", false],
  ["ipv4", false],
  ["oauth2", false],
  ["v1.2", false],
  ["facade", false],
  ["scheduledevents", false],
  ["a-very-long-name-without-any-digits-in-it", false],
])("is %p variable: %p", (segment, variable) => {
  expect(isVariable(segment)).toBe(variable);
});

describe("covers", () => {
  const shape = (path: string, query: Readonly<Record<string, string>> = {}) => ({
    segments: path.split("/").filter((segment) => segment !== ""),
    query: Object.entries(query).map(([name, value]) => ({ name, value })),
  });
  test.each([
    [shape("/a"), shape("/a/b"), true],
    [shape("/a"), shape("/ab"), false],
    [shape("/a/b"), shape("/a"), false],
    [shape("/a"), shape("/a", { resource: "x" }), true],
    [shape("/a", { resource: "x" }), shape("/a"), false],
    [shape("/a", { resource: "x" }), shape("/a", { resource: "y" }), false],
    [shape("/a", { resource: "x" }), shape("/a/b", { resource: "x", comp: "c" }), true],
  ])("%j covers %j: %p", (privilege, asked, covered) => {
    expect(covers(privilege, asked)).toBe(covered);
  });
});
