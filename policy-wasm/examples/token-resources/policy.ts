// Each program gets tokens only for the resources listed for it. Narrows: what it does not deny is left to the rules.

import type { Authorizer, Outcome, Request } from "./bindings/policy";

/** Resources by executable path. */
let allowed: ReadonlyMap<string, ReadonlySet<string>> = new Map();

export const authorizer: Authorizer = {
  validateSettings(settings) {
    parseSettings(settings);
  },

  configure(settings) {
    allowed = parseSettings(settings);
  },

  evaluate(request, caller) {
    if (!asksForToken(request)) return answer("abstain", "not-concerned");
    if (caller.executablePath === null) return answer("deny", "executable-unknown");
    const listed = allowed.get(caller.executablePath);
    if (listed === undefined) return answer("deny", "executable-not-listed");
    const resources = request.query.filter(({ name }) => name === "resource");
    const [first, second] = resources;
    if (first === undefined) return answer("deny", "resource-missing", caller.executablePath);
    // Hosts differ in which of several they believe.
    if (second !== undefined) return answer("deny", "resource-repeated", caller.executablePath);
    const resource = withoutSlash(first.value);
    if (listed.has(resource)) return answer("abstain", "resource-listed", caller.executablePath);
    return answer("deny", "resource-not-listed", caller.executablePath, [["resource", beginningOf(resource)]]);
  },
};

/** Whatever stands below the token path is a token request, too: a host may ignore the rest. */
function asksForToken({ endpoint, segments }: Request): boolean {
  return endpoint === "imds" && ["metadata", "identity", "oauth2", "token"].every((segment, i) => segments[i] === segment);
}

function answer(kind: Outcome["kind"], reason: string, rule = "", labels: [string, string][] = []): Outcome {
  return { kind, reason, rule, labels };
}

/** With and without a slash at the end it is one resource to an operator, though not always to the issuer of tokens. */
function withoutSlash(resource: string): string {
  return resource.endsWith("/") ? resource.slice(0, -1) : resource;
}

/** A label holds 256 bytes at most. */
function beginningOf(text: string): string {
  return [...text].slice(0, 60).join("");
}

// ---- settings: { "executables": { "/usr/bin/program": ["https://vault.azure.net"] } } ------------------------------------

function parseSettings(bytes: Uint8Array): ReadonlyMap<string, ReadonlySet<string>> {
  const executables = readMember(parseJson(bytes));
  const read = new Map<string, ReadonlySet<string>>();
  for (const [path, resources] of Object.entries(executables)) {
    if (!/^(?:\/[^/\0]+)+$/.test(path) || /\/\.\.?(?:\/|$)/.test(path)) throw `executable "${beginningOf(path)}": want an absolute path without //, . and ..`;
    if (!Array.isArray(resources) || resources.length === 0) throw `executable "${beginningOf(path)}": want a list of resources that is not empty`;
    const listed = new Set<string>();
    for (const resource of resources) {
      if (typeof resource !== "string" || !/^[!-~]{1,1024}$/.test(resource)) throw `executable "${beginningOf(path)}": found ${describe(resource)}, want a resource such as "https://vault.azure.net"`;
      if (/[A-Z]/.test(resource)) throw `executable "${beginningOf(path)}": found ${describe(resource)}, want lower case: the agent folds what is asked for`;
      listed.add(withoutSlash(resource));
    }
    read.set(path, listed);
  }
  if (read.size === 0) throw `want at least one executable: without any, nobody gets a token`;
  return read;
}

function parseJson(bytes: Uint8Array): unknown {
  let text = "";
  for (const byte of bytes) {
    if (byte > 0x7e) throw "want ASCII only; write other characters as \\u escapes";
    text += String.fromCharCode(byte);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw `want JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function readMember(json: unknown): Readonly<Record<string, unknown>> {
  if (!isObject(json)) throw 'want an object { "executables": { … } }';
  const unknown = Object.keys(json).find((name) => name !== "executables");
  if (unknown !== undefined) throw `found unknown member "${beginningOf(unknown)}", want executables`;
  if (!isObject(json.executables)) throw 'want an object as "executables"';
  return json.executables;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  return beginningOf(JSON.stringify(value) ?? String(value));
}
