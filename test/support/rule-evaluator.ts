// The decision of a rule item, written the plain way: loops over the JSON as the platform sends it, no tables, no sharing with
// the code under test. Law tests compare the compiled component with this. Slow on purpose: clarity is the point.

export interface PlainItem {
  readonly defaultAccess: string;
  readonly mode: string;
  readonly id: string;
  readonly rules: {
    readonly privileges: readonly {
      readonly name: string;
      readonly path: string;
      readonly queryParameters?: Readonly<Record<string, string>>;
      readonly method?: readonly string[];
    }[];
    readonly roles: readonly { readonly name: string; readonly privileges: readonly string[] }[];
    readonly identities: readonly PlainIdentity[];
    readonly roleAssignments: readonly { readonly role: string; readonly identities: readonly string[] }[];
  };
}

export interface PlainIdentity {
  readonly name: string;
  readonly userName?: string;
  readonly groupName?: string;
  readonly exePath?: string;
  readonly processName?: string;
  readonly exeSha256?: string | readonly string[];
  readonly systemdUnit?: string;
  readonly cgroupPath?: string;
}

export interface PlainCaller {
  readonly userName: string | undefined;
  readonly userGroups: readonly string[];
  readonly processFullPath: string | undefined;
  readonly processName: string | undefined;
  readonly executableSha256: string | undefined;
  readonly cgroupPath: string | undefined;
}

export interface PlainRequest {
  readonly method: string;
  /** Lower-case, without empty ones. */
  readonly segments: readonly string[];
  /** Decoded, lower-case. */
  readonly query: readonly (readonly [name: string, value: string])[];
}

export interface PlainDecision {
  readonly kind: "allow" | "deny";
  readonly reason: string;
  /** Every "privilege/identity" that grants, or every privilege that could be named. */
  readonly rules: readonly string[];
}

export function evaluatePlainly(item: PlainItem, caller: PlainCaller, request: PlainRequest): PlainDecision {
  const { privileges, roles, identities, roleAssignments } = item.rules;
  const onPath = privileges.filter(
    ({ path, method }) =>
      coversPath(path, request.segments) && (method === undefined || method.some((word) => word.toUpperCase() === request.method)),
  );
  const ambiguous = onPath.filter(({ queryParameters }) =>
    Object.keys(queryParameters ?? {}).some((name) => new Set(valuesOf(request, decode(name))).size > 1),
  );
  if (ambiguous.length > 0) return { kind: "deny", reason: "ambiguous-query", rules: ambiguous.map(({ name }) => name) };
  const covering = onPath.filter(({ queryParameters }) =>
    Object.entries(queryParameters ?? {}).every(([name, value]) => valuesOf(request, decode(name)).includes(decode(value))),
  );
  const granting: string[] = [];
  for (const privilege of covering) {
    if (privileges.findLast(({ name }) => name === privilege.name) !== privilege) continue; // shadowed by a later one of that name
    for (const assignment of roleAssignments) {
      const role = roles.findLast(({ name }) => name === assignment.role);
      if (role === undefined || !role.privileges.includes(privilege.name)) continue;
      for (const identityName of assignment.identities) {
        const identity = identities.findLast(({ name }) => name === identityName);
        if (identity !== undefined && fits(identity, caller)) granting.push(`${privilege.name}/${identityName}`);
      }
    }
  }
  if (granting.length > 0) return { kind: "allow", reason: "granted", rules: granting };
  if (covering.length > 0) return { kind: "deny", reason: "not-granted", rules: covering.map(({ name }) => name) };
  const allow = item.defaultAccess.toLowerCase() === "allow";
  return { kind: allow ? "allow" : "deny", reason: allow ? "default-allow" : "default-deny", rules: [""] };
}

function coversPath(path: string, segments: readonly string[]): boolean {
  const wanted = decodeURIComponent(path)
    .split("/")
    .filter((part) => part !== "" && part !== ".");
  return wanted.every((part, i) => part.toLowerCase() === segments[i]);
}

function valuesOf(request: PlainRequest, name: string): readonly string[] {
  return request.query.filter(([found]) => found === name).map(([, value]) => value);
}

function decode(text: string): string {
  return decodeURIComponent(text.replaceAll("+", "%20")).toLowerCase();
}

function fits(identity: PlainIdentity, caller: PlainCaller): boolean {
  if (identity.userName !== undefined && identity.userName !== caller.userName) return false;
  if (identity.groupName !== undefined && !caller.userGroups.includes(identity.groupName)) return false;
  if (identity.processName !== undefined && identity.processName !== caller.processName) return false;
  if (identity.exeSha256 !== undefined) {
    const wanted = [identity.exeSha256].flat().map((hash) => hash.toLowerCase());
    if (!wanted.some((hash) => hash === caller.executableSha256)) return false;
  }
  if (identity.systemdUnit !== undefined && !unitsOf(caller.cgroupPath).includes(identity.systemdUnit)) return false;
  if (identity.cgroupPath !== undefined) {
    const wanted = `/${identity.cgroupPath.split("/").filter(Boolean).join("/")}/`;
    if (caller.cgroupPath === undefined || !`${caller.cgroupPath}/`.startsWith(wanted)) return false;
  }
  if (identity.exePath === undefined) return true;
  return caller.processFullPath !== undefined && components(identity.exePath) === components(caller.processFullPath);
}

/** The slices around the caller's unit, and the unit. */
function unitsOf(cgroupPath: string | undefined): readonly string[] {
  const segments = (cgroupPath ?? "/").split("/").slice(1);
  const unit = segments.findIndex((segment) => !/.\.slice$/.test(segment));
  return unit < 0 ? segments : segments.slice(0, unit + 1);
}

function components(path: string): string {
  return JSON.stringify([path.startsWith("/"), ...path.split("/").filter((part) => part !== "" && part !== ".")]);
}
