// A name service that hangs, as sssd or LDAP may: a module of our own in the agent's nsswitch.conf. Needs root and the sandbox, whose
// mount namespace has its own /etc/nsswitch.conf.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../support/redirected-listener.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { AGENT, AgentProcess, runProgram, World } from "../support/world.ts";

requireSandbox();
const DIRECTORY_USER = 5003;
const LOCAL_USER = 65_534;
/** Metadata clients that probe give up after a second. */
const PROBE_SECONDS = 1;
let folder = "";

const SOURCE = (place: string) => `
#include <nss.h>
#include <pwd.h>
#include <grp.h>
#include <unistd.h>
#include <errno.h>
#include <stdio.h>
static void hang(void) { while (access("${place}/hang", F_OK) == 0) usleep(20000); }
enum nss_status _nss_slow_getpwuid_r(uid_t u, struct passwd *p, char *b, size_t n, int *e) {
	hang();
	if (u < 5000 || u > 5999) { *e = ENOENT; return NSS_STATUS_NOTFOUND; }
	int k = snprintf(b, n, "dir%u", u);
	p->pw_name = b; p->pw_passwd = p->pw_gecos = p->pw_dir = p->pw_shell = b + k; p->pw_uid = p->pw_gid = u;
	return NSS_STATUS_SUCCESS;
}
enum nss_status _nss_slow_getgrgid_r(gid_t g, struct group *r, char *b, size_t n, int *e) { hang(); *e = ENOENT; return NSS_STATUS_NOTFOUND; }
enum nss_status _nss_slow_initgroups_dyn(const char *u, gid_t g, long *s, long *z, gid_t **p, long l, int *e) { hang(); return NSS_STATUS_NOTFOUND; }
`;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "apa-nss-"));
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, "slow.c"), SOURCE(folder));
  writeFileSync(join(folder, "nsswitch.conf"), "passwd: files slow\ngroup: files slow\nhosts: files\n");
  const library = join(folder, "libnss_slow.so.2");
  const built = await run(["clang", "-shared", "-fPIC", "-O1", "-w", "-o", library, join(folder, "slow.c")]);
  if (built.code !== 0) throw new Error(built.stderr);
  expect(Bun.spawnSync(["mount", "--bind", join(folder, "nsswitch.conf"), "/etc/nsswitch.conf"]).exitCode).toBe(0);
});
afterAll(() => {
  Bun.spawnSync(["umount", "/etc/nsswitch.conf"]);
  rmSync(folder, { recursive: true, force: true });
});

/** Status of one request, or why there was none within a probe's patience. */
async function ask(uid: number): Promise<string> {
  const url = "http://169.254.169.254/metadata/instance?api-version=2021-02-01";
  const curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", String(PROBE_SECONDS), "-H", "Metadata: true", url];
  const { stdout, code } = await run(["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", ...curl]);
  return code === 0 ? stdout : `curl ended with ${code}`;
}

function start(host: NonNullable<Parameters<typeof World.start>[0]>["host"]): Promise<World> {
  const startAgent = (configPath: string) => new AgentProcess(configPath, { environment: { LD_LIBRARY_PATH: folder } });
  return World.start({ startAgent, ...(host === undefined ? {} : { host }) });
}

const setHanging = (hangs: boolean) => (hangs ? writeFileSync(join(folder, "hang"), "") : rmSync(join(folder, "hang"), { force: true }));

test("T-192: where no rule names users nobody waits for it; status and doctor say that it hangs, and that it is well again", async () => {
  await using world = await start(undefined);
  setHanging(true);
  try {
    expect([await ask(DIRECTORY_USER), await ask(0), await ask(LOCAL_USER)]).toEqual(["200", "200", "200"]);
    // Local accounts have their names in the log all the same.
    await world.agent.line("request-forwarded", ({ userName }) => userName === "nobody");
    const hung = await world.agent.line("accounts-unanswered");
    expect(hung.message).toContain("does not answer");
    await world.untilStatus({ agentDetails: { accounts: { answering: false } } });
    const doctor = await runProgram([AGENT, "doctor", "--config", world.configPath]);
    expect(doctor.stdout).toContain("accounts: the account database");
    expect([await ask(DIRECTORY_USER + 1), await ask(0)]).toEqual(["200", "200"]);
  } finally {
    setHanging(false);
  }
  await world.agent.line("accounts-answered");
});

test("T-192: a rule that names a local user does not wait for it either", async () => {
  const privileges = [{ name: "p", path: "/metadata/instance" }];
  const rules = {
    privileges,
    roles: [{ name: "r", privileges: ["p"] }],
    identities: [{ name: "i", userName: "nobody" }],
    roleAssignments: [{ role: "r", identities: ["i"] }],
  };
  setHanging(true);
  try {
    await using _ = await start({ rules: { imds: { defaultAccess: "deny", mode: "enforce", id: "names", rules } } });
    expect([await ask(LOCAL_USER), await ask(0)]).toEqual(["200", "403"]);
  } finally {
    setHanging(false);
  }
});
