// Part 3: the platform sends an allowlist; who is on it, who is not, and what audit mode makes of it.

import type { RuleItem } from "../../host-simulator/settings.ts";
import { CURL, curl, NOBODY, python, ROOT } from "./caller.ts";
import { AMBIGUOUS_SPELLING, TOKEN, TOKEN_SPELLINGS, tokenUrl, urllibScript } from "./requests.ts";
import type { Stage } from "./stage.ts";

const RULE_SET = "demo-tokens";
const PRIVILEGE = "identity-tokens";
const IDENTITY = "nobodys-curl";

/** Tokens are for one program of one user; everything else stays as it was. */
function tokenRules(mode: "enforce" | "audit"): RuleItem {
  return {
    id: `${RULE_SET}-${mode}`,
    mode,
    defaultAccess: "allow",
    rules: {
      privileges: [{ name: PRIVILEGE, path: "/metadata/identity" }],
      roles: [{ name: "token-reader", privileges: [PRIVILEGE] }],
      identities: [{ name: IDENTITY, userName: "nobody", exePath: CURL }],
      roleAssignments: [{ role: "token-reader", identities: [IDENTITY] }],
    },
  };
}

async function sendRules(stage: Stage, mode: "enforce" | "audit"): Promise<void> {
  const from = stage.agent.lines.length;
  await stage.host.configure({ rules: { imds: tokenRules(mode) } });
  const line = await stage.agent.line(
    "rules-applied",
    (fields) => fields.ruleSetId === `${RULE_SET}-${mode}` && stage.agent.lines.slice(from).some((one) => one.fields === fields),
  );
  stage.screen.blank();
  stage.screen.fact("rules", `${String(line.ruleSetId)} in force, compiled to policy ${String(line.policyId).slice(0, 8)}`);
}

export async function showRules(stage: Stage): Promise<void> {
  const { screen } = stage;
  screen.heading(
    "3. Rules",
    `The platform sends an allowlist: only user nobody, running ${CURL}, may read /metadata/identity; everything else stays open. The agent takes it up without a restart.`,
  );
  await sendRules(stage, "enforce");
  await stage.request(
    { who: NOBODY, command: curl(TOKEN) },
    { status: 200, reason: "granted", host: "valid", isRoot: false, proves: "the user and program on the list get their token" },
  );
  const urllib = urllibScript(TOKEN);
  await stage.request(
    { who: NOBODY, command: python(urllib) },
    { status: 403, reason: "not-granted", rule: PRIVILEGE, proves: "the same user with another program does not" },
    [...urllib.slice(0, 3), "..."],
  );
  const { line } = await stage.request(
    { who: ROOT, command: curl(TOKEN) },
    { status: 403, reason: "not-granted", rule: PRIVILEGE, proves: "and root is not on the list either" },
  );
  screen.fact("journal", `request-denied ${JSON.stringify(line?.fields).replaceAll(',"', ', "')}`, "dim");

  screen.blank();
  screen.fact("", "The same address in other spellings, as root:");
  for (const path of TOKEN_SPELLINGS) {
    await stage.briefRequest(
      { who: ROOT, command: curl(tokenUrl(path), "--path-as-is") },
      { status: 403, reason: "not-granted", rule: PRIVILEGE, proves: `"${path}" is the token's address too` },
      path,
    );
  }
  await stage.briefRequest(
    { who: ROOT, command: curl(tokenUrl(AMBIGUOUS_SPELLING), "--path-as-is") },
    { status: 400, reason: "ambiguous-target", proves: "what has no single reading is refused" },
    AMBIGUOUS_SPELLING,
  );
  stage.promise("no spelling gets past a rule, and the host received none of them", true, "");

  await sendRules(stage, "audit");
  await stage.request(
    { who: ROOT, command: curl(TOKEN) },
    {
      status: 200,
      reason: "not-granted",
      wouldDeny: "not-granted",
      host: "valid",
      isRoot: true,
      proves: "in audit mode it passes, and the line says what enforce would do",
    },
  );
  await sendRules(stage, "enforce");
}
