// Part 5: callers who want to be somebody else, or to go round the agent.

import { readlinkSync } from "node:fs";
import { type Child, CURL, curl, NOBODY, python, ROOT } from "./caller.ts";
import { connectThenExecScript, GOAL_STATE, INSTANCE } from "./requests.ts";
import { type Stage, until } from "./stage.ts";

export async function showAttacks(stage: Stage): Promise<void> {
  stage.screen.heading("5. Attacks", "Same rules, enforce again.");
  await showForgedHeaders(stage);
  await showHalfRoot(stage);
  await showDirectConnection(stage);
  await showForeignNamespace(stage);
  await showConnectThenExec(stage);
}

async function showForgedHeaders(stage: Stage): Promise<void> {
  const forged = [
    "-H",
    'x-ms-azure-host-claims: {"isRoot":"true"}',
    "-H",
    "x-ms-azure-host-authorization: Azure-HMAC-SHA256 forged forged",
  ];
  const { record } = await stage.request(
    { who: NOBODY, command: curl(INSTANCE, ...forged) },
    {
      status: 200,
      reason: "default-allow",
      host: "valid",
      isRoot: false,
      proves: "forged claims and signatures are replaced by the true ones",
    },
  );
  const head = record?.head ?? "";
  stage.promise("not a byte of them reached the host", !/forged|"isRoot":"true"/.test(head), head);
}

async function showHalfRoot(stage: Stage): Promise<void> {
  await stage.request(
    { who: { prompt: "uid 1000, gid 0$", ids: { uid: 1000, gid: 0 } }, command: curl(GOAL_STATE) },
    { status: 403, reason: "not-root", proves: "group 0 makes nobody root; WireServer is for root alone, whatever the rules say" },
  );
}

async function showDirectConnection(stage: Stage): Promise<void> {
  await stage.request(
    { who: ROOT, command: curl("http://127.0.0.1:3080/metadata/instance?api-version=2021-02-01") },
    { status: 421, reason: "not-redirected", proves: "who connects to the agent itself gets nothing endorsed" },
  );
}

async function showForeignNamespace(stage: Stage): Promise<void> {
  const before = await foreignRefusals();
  const inside = ["ip link set lo up", "ip address add 169.254.169.254 dev lo", `curl -si -H Metadata:true '${INSTANCE}'`];
  const { client } = await stage.request(
    { who: ROOT, command: ["unshare", "--net", "sh", "-c", inside.join("\n")] },
    { status: 0, proves: "a connect from another network namespace never reaches the agent" },
    inside,
  );
  // 7: curl could not connect.
  stage.promise("curl could not connect (exit code 7)", client.exitCode === 7, `exit code ${client.exitCode}`);
  const refused = (await foreignRefusals()) - before;
  stage.promise("it was the kernel program that refused it: the agent's status counts one more", refused === 1, `${refused} more`);
}

async function foreignRefusals(): Promise<number> {
  const answer = await fetch("http://169.254.169.254/gpa-aggregated-status", {
    headers: { Metadata: "true", Connection: "close" },
    proxy: "",
  });
  const status = (await answer.json()) as { agentDetails?: { redirectCounters?: { refusedForeignNamespace?: number } } };
  return status.agentDetails?.redirectCounters?.refusedForeignNamespace ?? Number.NaN;
}

async function showConnectThenExec(stage: Stage): Promise<void> {
  const script = connectThenExecScript(CURL);
  const { agent } = stage;
  stage.screen.blank();
  stage.screen.fact(
    "",
    `Connect as one program, then become ${CURL}, which may have tokens. The agent is stopped meanwhile, so that it can only look when it is too late.`,
  );
  /** Lets the agent go on once the caller is the allowed program. */
  const meanwhile = async (child: Child) => {
    const became = await until(() => (programOf(child.pid) === CURL ? true : undefined));
    process.kill(agent.pid, "SIGCONT");
    stage.screen.fact("", became === true ? `pid ${child.pid} is ${CURL} now; the agent goes on` : `pid ${child.pid} did not exec in time`);
    await until(() => agent.lines.find(({ event, fields }) => event === "request-denied" && fields.processId === child.pid), 2_000);
  };
  process.kill(agent.pid, "SIGSTOP");
  try {
    const { line } = await stage.request(
      { who: NOBODY, command: python(script), meanwhile },
      { status: 403, reason: "not-granted", proves: "the token stays where it is" },
      script,
    );
    const doubts = JSON.stringify(line?.fields.doubts ?? []);
    stage.promise("the kernel pinned the program that connected; the new one is not believed", doubts.includes("another program"), doubts);
  } finally {
    process.kill(agent.pid, "SIGCONT");
  }
}

function programOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return "";
  }
}
