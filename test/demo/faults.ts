// Part 6: the host goes away, the key goes away. The agent answers what clients retry, and lets nothing out unsigned.

import { curl, NOBODY, ROOT } from "./caller.ts";
import { INSTANCE } from "./requests.ts";
import type { Stage } from "./stage.ts";

export async function showFaults(stage: Stage): Promise<void> {
  const { screen, host, agent } = stage;
  screen.heading("6. Faults", "What breaks around the agent must not open anything, and must heal by itself.");

  screen.fact("fault", "IMDS stops listening");
  await host.addFaults({ kind: "stop-listening", endpoint: "imds" });
  await stage.request(
    { who: NOBODY, command: curl(INSTANCE) },
    { status: 503, retryAfter: "1", reason: "host-unreachable", proves: "a host that is down is told as 503 with Retry-After" },
  );
  await host.clearFaults();
  await stage.request(
    { who: NOBODY, command: curl(INSTANCE) },
    { status: 200, reason: "default-allow", host: "valid", isRoot: false, proves: "and is back as soon as the host is" },
  );

  screen.blank();
  screen.fact("fault", "the host forgets the key (new incarnation) and hands out no other");
  await host.addFaults({ kind: "status", status: 403, endpoint: "wireserver", method: "POST", pathPrefix: "/secure-channel/key" });
  await host.startIncarnation();
  await agent.line("key-dropped");
  await stage.request(
    { who: ROOT, command: curl(INSTANCE) },
    { status: 503, retryAfter: "2", reason: "no-key", proves: "without a key requests wait; none leaves unsigned" },
  );
  const from = agent.lines.length;
  await host.clearFaults();
  await agent.line("secure-channel", (fields) => /^attested key/.test(String(fields.message)) && isAfter(stage, fields, from));
  screen.blank();
  screen.fact("recovery", "the host hands out keys again; the agent latched a new one by itself");
  await stage.request(
    { who: ROOT, command: curl(INSTANCE) },
    { status: 200, reason: "default-allow", host: "valid", isRoot: true, proves: "signed with the new key, without a restart" },
  );
}

function isAfter(stage: Stage, fields: object, from: number): boolean {
  return stage.agent.lines.slice(from).some((line) => line.fields === fields);
}
