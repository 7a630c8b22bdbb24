// The texts that an identity may select callers by, each in the one form that claims are compared with. A selector that
// fits no caller, or every caller, is refused: its author meant something else.

import { ok, type Result } from "../result.ts";
import { type Located, type RuleError, readArray, readOptionalString, readString, refuse } from "./rule-json.ts";

/** SHA-256 in hex. */
const HASH = /^[0-9a-f]{64}$/;
/** Characters of unit names, and the types of units that processes can be in (systemd.unit(5)). */
const UNIT = /^[A-Za-z0-9:_.\\@-]+\.(service|scope|slice|socket|mount|swap)$/;
/** systemd's own limit. */
const MAX_UNIT_CHARACTERS = 255;

/** A text that is compared as it is; undefined when absent. */
export function readPlainSelector(at: Located): Result<string | undefined, RuleError> {
  const text = readOptionalString(at);
  if (!text.ok || text.value === undefined) return text;
  if (text.value === "") return refuse("empty-selector", at, "a text that is not empty");
  // U+FFFD stands for bytes that could not be read, so it would fit different callers; NUL ends names in the kernel.
  return /[\0\ufffd]/.test(text.value) ? refuse("unclear-text", at, "a text without U+0000 and U+FFFD") : text;
}

/** One hash or a list of hashes, in any letter case; lower-case and each once in the answer. */
export function readExecutableHashes(at: Located, limit: number): Result<readonly string[] | undefined, RuleError> {
  if (at.value === undefined) return ok(undefined);
  const elements = Array.isArray(at.value) ? readArray(at, limit) : ok([at]);
  if (!elements.ok) return elements;
  if (elements.value.length === 0) return refuse("empty-list", at, "at least one hash");
  const hashes = new Set<string>();
  for (const element of elements.value) {
    const text = readString(element);
    if (!text.ok) return text;
    const hash = text.value.toLowerCase();
    if (!HASH.test(hash)) return refuse("unclear-hash", element, "64 hex digits");
    hashes.add(hash);
  }
  return ok([...hashes].sort());
}

/** A systemd unit, as its cgroup is named: systemd's escaping (`\x2d`, a leading `_`) is kept as it is. */
export function readUnitName(at: Located): Result<string | undefined, RuleError> {
  const text = readPlainSelector(at);
  if (!text.ok || text.value === undefined) return text;
  if (UNIT.test(text.value) && text.value.length <= MAX_UNIT_CHARACTERS) return text;
  return refuse("unclear-unit", at, 'a unit that processes can be in, such as "nginx.service"');
}

/** A cgroup as a path below the root; repeated and trailing slashes do not count. The root itself would be every caller. */
export function readCgroupPath(at: Located): Result<string | undefined, RuleError> {
  const text = readPlainSelector(at);
  if (!text.ok || text.value === undefined) return text;
  const wanted = 'a path below the cgroup root without "." and "..", such as "/system.slice"';
  const segments = text.value.split("/").filter((segment) => segment !== "");
  const clear = text.value.startsWith("/") && segments.length > 0 && !segments.some((segment) => segment === "." || segment === "..");
  return clear ? ok(`/${segments.join("/")}`) : refuse("unclear-cgroup", at, wanted);
}
