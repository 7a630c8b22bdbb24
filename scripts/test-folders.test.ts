import { describe, expect, test } from "bun:test";
import { dirname, join } from "node:path";
import { SANDBOX_TESTS, UNIT_TESTS } from "./test-folders.ts";

const ROOT = dirname(import.meta.dir);
const FOLDERS = [...UNIT_TESTS, ...SANDBOX_TESTS];
const isBelow = (folder: string) => (path: string) => path.startsWith(`${folder}/`);

/** What git tracks or would track; names as bun takes them for tests. */
function findTestFiles(): readonly string[] {
  const listed = Bun.spawnSync(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], { cwd: ROOT });
  expect(listed.exitCode).toBe(0);
  return listed.stdout
    .toString()
    .split("\0")
    .filter((path) => /[._](?:test|spec)\.[cm]?[jt]sx?$/.test(path));
}

describe("the lists of test folders", () => {
  test("hold every test file exactly once", () => {
    const files = findTestFiles();
    expect(files).toContain("scripts/test-folders.test.ts");
    const wrong = files.filter((path) => FOLDERS.filter((folder) => isBelow(folder)(path)).length !== 1);
    expect(wrong).toEqual([]);
  });

  test.each(FOLDERS)("name no folder without tests: %s", (folder) => {
    expect(findTestFiles().some(isBelow(folder))).toBe(true);
  });

  test.each([
    ["check.ts", "unitTestJobs", "test-runner"],
    ["test-runner.ts", "UNIT_TESTS", "test-folders"],
    ["test.ts", "UNIT_TESTS", "test-folders"],
  ])("are the only ones that %s runs", async (script, name, module) => {
    const text = await Bun.file(join(import.meta.dir, script)).text();
    expect(text).toMatch(new RegExp(`import \\{[^}]*\\b${name}\\b[^}]*\\} from "\\./${module}\\.ts"`));
    expect(text).not.toMatch(/"(?:test\/[a-z-]+|proxy|policy-wasm|host-simulator)"/);
  });
});
