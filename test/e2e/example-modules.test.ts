// The example modules in the built agent, installed by its own command: real callers, real cgroups, the real time since boot.

import { afterEach, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildExample, type ExampleModule, exampleFolder } from "../../scripts/build-modules.ts";
import { AGENT, ALICE, curl, IMDS_INSTANCE, type LogLine, runProgram, World } from "../support/world.ts";

const TOKEN = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=";
const USER_DATA = "http://169.254.169.254/metadata/instance/compute/userData?api-version=2021-01-01&format=text";

beforeAll(() => {
  for (const name of ["token-resources", "boot-gate", "container-guard", "table-policy"] as const) buildExample(name);
}, 60_000);

let world: World | undefined;
afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

/** An agent that has no objections of its own, and the module in it. */
async function startWith(name: ExampleModule, settings: string): Promise<World> {
  world = await World.start({ host: { imds: "enforce" } });
  await install(world, ["add", join(exampleFolder(name), "policy.wasm"), "--name", name, "--settings", write(world, settings)]);
  return world;
}

async function install(one: World, argv: readonly string[]): Promise<void> {
  const done = await runProgram([AGENT, "module", ...argv, "--config", one.configPath]);
  expect(done).toMatchObject({ code: 0 });
}

function write(one: World, text: string): string {
  const path = join(one.folder, "settings");
  writeFileSync(path, text);
  return path;
}

/** The line of the last request says that; returns it. */
async function expectLastRequest(one: World, wanted: object): Promise<LogLine["fields"]> {
  const found = await one.untilLastRequest(wanted);
  expect(found).toMatchObject(wanted);
  return found;
}

const status = async (url: string) => (await curl(url)).status;

test("container-guard: a caller in a cgroup that the settings do not cover gets no token, until they do", async () => {
  const one = await startWith("container-guard", "/system.slice/*.service\n");
  expect(await status(IMDS_INSTANCE)).toBe(200);
  expect(await status(`${TOKEN}https://vault.azure.net`)).toBe(403);
  const denied = await expectLastRequest(one, { module: "container-guard", moduleReason: "cgroup-not-of-the-host" });
  const { cgroupPath } = denied;
  if (typeof cgroupPath !== "string") throw new Error(`the caller's cgroup is not known: ${JSON.stringify(denied)}`);
  await install(one, ["settings", "container-guard", write(one, `${cgroupPath}\n`)]);
  expect(await status(`${TOKEN}https://vault.azure.net`)).toBe(200);
});

test("boot-gate: user data is shut a minute after boot, the instance document is not", async () => {
  const one = await startWith("boot-gate", "minutes 1\ncontaining pass\npath /metadata/instance/compute/userdata\n");
  expect(await status(USER_DATA)).toBe(403);
  await expectLastRequest(one, { module: "boot-gate", moduleReason: "boot-window-closed" });
  expect(await status(USER_DATA.replace("/compute/userData", "/./compute/x/../USERDATA;v=1"))).toBe(403);
  expect(await status(IMDS_INSTANCE)).toBe(200);
});

test("token-resources: curl gets the token that is listed for it, and no other", async () => {
  const path = (await runProgram(["readlink", "-f", "/usr/bin/curl"])).stdout.trim();
  const one = await startWith("token-resources", JSON.stringify({ executables: { [path]: ["https://vault.azure.net"] } }));
  expect(await status(`${TOKEN}https%3A%2F%2Fvault.azure.net%2F`)).toBe(200);
  expect(await status(`${TOKEN}https://storage.azure.com`)).toBe(403);
  await expectLastRequest(one, { module: "token-resources", moduleReason: "resource-not-listed" });
  const python = `
import urllib.request
asked = urllib.request.Request("${TOKEN}https://vault.azure.net", headers={"Metadata": "true"})
try: print(urllib.request.urlopen(asked, timeout=10).status)
except urllib.error.HTTPError as error: print(error.code)`;
  expect((await runProgram(["/usr/bin/python3", "-c", python])).stdout.trim()).toBe("403");
  await expectLastRequest(one, { moduleReason: "executable-not-listed" });
});

test("table-policy: a rule about a user holds for that user, and for who may be", async () => {
  const one = await startWith(
    "table-policy",
    'deny no-root-tokens when path under "/metadata/identity" and user is "root"\ndefault abstain\n',
  );
  expect(await status(`${TOKEN}https://vault.azure.net`)).toBe(403);
  await expectLastRequest(one, { module: "table-policy", moduleReason: "denied-by-rule" });
  // An id without an account has no name: it may be anybody.
  expect((await curl(`${TOKEN}https://vault.azure.net`, { as: ALICE })).status).toBe(403);
  await expectLastRequest(one, { moduleReason: "denied-in-doubt" });
  expect((await curl(IMDS_INSTANCE, { as: ALICE })).status).toBe(200);
});
