// An allowlist as an operator would write one, in any size: documents of IMDS, a role for each few of them, users, groups and
// programs. Whoever the benches send is in it under the last names, so that nothing is found early.

import type { RuleItem } from "../../host-simulator/settings.ts";

const DOCUMENTS = ["instance/compute", "instance/network", "identity/oauth2/token", "attested/document", "scheduledevents"] as const;
const PRIVILEGES_OF_A_ROLE = 5;

/**
 * @param privileges - how many, at least 1
 * @param identities - how many, at least 1; the last one is user root
 */
export function makeRuleSet(privileges: number, identities: number): RuleItem {
  const privilegeNames = list(privileges, (index) => `privilege-${index}`);
  const roleNames = list(Math.ceil(privileges / PRIVILEGES_OF_A_ROLE), (index) => `role-${index}`);
  const rules = {
    privileges: privilegeNames.map((name, index) =>
      index === privileges - 1
        ? { name, path: "/metadata/instance", queryParameters: { "api-version": "2021-02-01" } }
        : {
            name,
            path: `/metadata/${DOCUMENTS[index % DOCUMENTS.length]}/part-${index}`,
            queryParameters: { resource: `https://service-${index}.example` },
          },
    ),
    roles: roleNames.map((name, index) => ({
      name,
      privileges: privilegeNames.slice(index * PRIVILEGES_OF_A_ROLE, (index + 1) * PRIVILEGES_OF_A_ROLE),
    })),
    identities: list(identities, (index) => identity(index, index === identities - 1)),
    roleAssignments: roleNames.map((role, index) => ({
      role,
      identities: [`identity-${index % identities}`, `identity-${identities - 1}`],
    })),
  };
  return { defaultAccess: "deny", mode: "enforce", id: `bench-${privileges}-${identities}`, rules };
}

function identity(index: number, last: boolean): Readonly<Record<string, string>> {
  const name = `identity-${index}`;
  if (last) return { name, userName: "root" };
  if (index % 3 === 0) return { name, userName: `service-${index}`, exePath: `/opt/service-${index}/bin/run` };
  return index % 3 === 1 ? { name, groupName: `team-${index}` } : { name, userName: `user-${index}`, processName: `worker-${index}` };
}

function list<T>(length: number, make: (index: number) => T): T[] {
  return Array.from({ length }, (_, index) => make(index));
}
