import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../test/support/random.ts";
import { parseGoalState, parseInstance, parseSharedConfig } from "./vm-metadata.ts";
import { elementAt, parseXml } from "./xml-reader.ts";

const goalState = (url: string, more = "") =>
  `<?xml version="1.0" encoding="utf-8"?>\n<GoalState><Version>2012-11-30</Version><Container>${more}<ContainerId>c-1</ContainerId><RoleInstanceList>` +
  `<RoleInstance><Configuration><SharedConfig>${url}</SharedConfig></Configuration></RoleInstance></RoleInstanceList></Container></GoalState>`;
const SHARED_URL = "http://168.63.129.16:80/machine/c/i?comp=config&amp;type=sharedConfig&amp;incarnation=1";

describe("parseGoalState", () => {
  test("finds container and shared config", () => {
    expect(parseGoalState(goalState(SHARED_URL))).toEqual({
      ok: true,
      value: { containerId: "c-1", sharedConfigTarget: "/machine/c/i?comp=config&type=sharedConfig&incarnation=1" },
    });
    expect(parseGoalState(goalState("http://168.63.129.16/x")).ok).toBe(true);
  });

  test.each([
    "http://169.254.169.254/metadata",
    "http://168.63.129.16:32526/x",
    "http://168.63.129.16.example.com/x",
    "https://168.63.129.16/x",
    "http://user@168.63.129.16/x",
    "http://168.63.129.16:80/x y",
    "http://168.63.129.16:80/x&#13;&#10;Evil: 1",
    "http://168.63.129.16:80/x#y",
    "/x",
    "",
  ])("T-93: does not follow %p", (url) => {
    expect(parseGoalState(goalState(url)).ok).toBe(false);
  });

  test.each(["", "<GoalState/>", "<Other/>", "<GoalState>", `<!DOCTYPE x [<!ENTITY a "b">]>${goalState(SHARED_URL)}`, "{}"])(
    "T-93: refuses %p without quoting it",
    (document) => {
      const read = parseGoalState(document);
      expect(read.ok ? "" : read.error).toStartWith("found ");
      if (document.length > 8) expect(read.ok ? document : read.error).not.toContain(document.slice(0, 9));
    },
  );
});

describe("parseSharedConfig", () => {
  test("finds the names", () => {
    const text = `<SharedConfig><Deployment name="t&amp;t" guid="{1}"/><Role name='r'/><Instances><Instance id="i" address="10.0.0.4"/><Instance id="j"/></Instances></SharedConfig>`;
    expect(parseSharedConfig(text)).toEqual({ ok: true, value: { tenantName: "t&t", roleName: "r", roleInstanceName: "i" } });
  });

  test("refuses one without a name", () => {
    expect(
      parseSharedConfig(`<SharedConfig><Deployment name="t"/><Role/><Instances><Instance id="i"/></Instances></SharedConfig>`).ok,
    ).toBe(false);
  });
});

describe("parseInstance", () => {
  const compute = { resourceGroupName: "g", subscriptionId: "s", vmId: "v", offer: "o" };
  test.each([
    [compute, 1],
    [{ ...compute, offer: "" }, 0],
    [{ ...compute, offer: undefined }, 0],
  ])("%j has image origin %d", (found, imageOrigin) => {
    expect(parseInstance(JSON.stringify({ compute: found }))).toEqual({
      ok: true,
      value: { resourceGroupName: "g", subscriptionId: "s", vmId: "v", imageOrigin: imageOrigin as 0 | 1 },
    });
  });

  test.each(["", "[]", "{}", '{"compute":{"vmId":1,"resourceGroupName":"g","subscriptionId":"s"}}'])("refuses %p", (text) => {
    expect(parseInstance(text).ok).toBe(false);
  });
});

describe("parseXml", () => {
  test("reads text, sections, comments and entities", () => {
    const read = parseXml(`\ufeff<?xml version="1.0"?><!-- c --><a x="1 &lt; 2"><b>t&#65;&#x42;</b><b/><![CDATA[<&>]]></a>\n`);
    if (!read.ok) throw new Error(read.error);
    expect([read.value.attributes.get("x"), elementAt(read.value, "b")?.text, read.value.text]).toEqual(["1 < 2", "tAB", "<&>"]);
  });

  test.each([
    "<a></b>",
    "<a",
    "<a x=1/>",
    '<a x="1" x="2"/>',
    "<a/><b/>",
    "x<a/>",
    "<a>&nbsp;</a>",
    "<a>&</a>",
    "<a>&#0;</a>",
    "<a>&#1114112;</a>",
    "<a><![CDATA[</a>",
    "<!-- -- --><a/>",
    "</a>",
    "<a>".repeat(40),
    `<a>${"<b/>".repeat(20_001)}</a>`,
  ])("refuses %#", (document) => {
    expect(parseXml(document).ok).toBe(false);
  });

  test("law: never throws, whatever it is given, and ends", () => {
    const pieces = ["<", ">", "/", "a", "&", ";", "<![CDATA[", "]]>", "<!--", "-->", "<?", "?>", '"', "=", " ", "#x", "\0"] as const;
    for (let seed = 1; seed <= 500; seed++) {
      const random = seededRandom(seed);
      const read = parseXml(random.list(0, 60, () => random.pick(pieces)).join(""));
      expect(typeof read.ok, `seed ${seed}`).toBe("boolean");
    }
    expect(parseXml("<!--".repeat(200_000)).ok).toBe(false);
    expect(parseXml(`<a ${"x ".repeat(400_000)}`).ok).toBe(false);
  });
});
