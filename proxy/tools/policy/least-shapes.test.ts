import { describe, expect, test } from "bun:test";
import { dropCovered, reduceShapes } from "./least-shapes.ts";
import { describeShape, type RequestShape } from "./request-shape.ts";

function shape(path: string, query: Readonly<Record<string, string>> = {}): RequestShape {
  return {
    segments: path.split("/").filter((segment) => segment !== ""),
    query: Object.entries(query).map(([name, value]) => ({ name, value })),
  };
}
const numbered = (count: number, make: (index: number) => RequestShape) => Array.from({ length: count }, (_, index) => make(index));
const shown = (shapes: readonly RequestShape[]) => shapes.map(describeShape).sort();

test("dropCovered leaves what nothing else covers, each once", () => {
  const shapes = [
    shape("/a/b/c"),
    shape("/a/b"),
    shape("/a/b"),
    shape("/a/bc"),
    shape("/d", { resource: "x" }),
    shape("/d/e", { resource: "x" }),
  ];
  expect(shown(dropCovered(shapes))).toEqual(["/a/b", "/a/bc", "/d?resource=x"]);
});

describe("reduceShapes", () => {
  test("keeps few siblings apart", () => {
    const shapes = numbered(32, (i) => shape(`/metadata/instance/item${i}x`));
    expect(reduceShapes("imds", shapes)).toMatchObject({ opened: [], merged: [] });
    expect(reduceShapes("imds", shapes).shapes).toHaveLength(32);
  });

  test("merges many siblings at their parent, and leaves the others alone", () => {
    const shapes = [...numbered(50, (i) => shape(`/metadata/instance/item${i}x`)), shape("/metadata/identity/info")];
    const reduced = reduceShapes("imds", shapes);
    expect(shown(reduced.shapes)).toEqual(["/metadata/identity/info", "/metadata/instance"]);
    expect(reduced.merged).toEqual(["/metadata/instance"]);
  });

  test("never merges up to the whole service", () => {
    const shapes = numbered(50, (i) => shape(`/metadata/document${i}x`));
    expect(reduceShapes("imds", shapes).shapes).toHaveLength(50);
  });

  test("merges shapes whose parents differ, level by level", () => {
    const reduced = reduceShapes(
      "imds",
      numbered(100, (i) => shape(`/metadata/instance/part${i}x/leaf`)),
    );
    expect(shown(reduced.shapes)).toEqual(["/metadata/instance"]);
  });

  test("merging keeps the parameters", () => {
    const reduced = reduceShapes(
      "wireserver",
      numbered(50, (i) => shape(`/machine/part${i}x`, { comp: "config" })),
    );
    expect(shown(reduced.shapes)).toEqual(["/machine?comp=config"]);
  });

  test("few values of a deciding parameter are listed, many leave it open", () => {
    const tokens = (count: number) => numbered(count, (i) => shape("/metadata/identity/oauth2/token", { resource: `r${i}` }));
    expect(reduceShapes("imds", tokens(16)).shapes).toHaveLength(16);
    const reduced = reduceShapes("imds", tokens(17));
    expect(shown(reduced.shapes)).toEqual(["/metadata/identity/oauth2/token"]);
    expect(reduced.opened).toEqual(["resource at /metadata/identity/oauth2/token"]);
  });
});
