// The names of header fields that mean something to us, each set once, and the blanks around a field's value. What is done with a field
// is for its reader to say.

export const AUTHORIZATION_HEADER = "x-ms-azure-host-authorization";
export const DATE_HEADER = "x-ms-azure-host-date";
export const CLAIMS_HEADER = "x-ms-azure-host-claims";
/** How all names begin that only we may send to the host. */
const HOST_PREFIX = "x-ms-azure-host-";

/** A set of names, asked without regard to letter case. */
export interface HeaderNames {
  has(name: string): boolean;
}

/** The length first: it spares the lower-casing of most names. */
function namesOf(...lowerCaseNames: readonly string[]): HeaderNames {
  const names = new Set(lowerCaseNames);
  const lengths = new Set(lowerCaseNames.map(({ length }) => length));
  return { has: (name) => lengths.has(name.length) && names.has(name.toLowerCase()) };
}

const CONNECTION = ["connection", "keep-alive", "proxy-connection", "upgrade"] as const;
const FRAMING = ["content-length", "transfer-encoding"] as const;

/** What the caller sent is never passed on under these names. */
export const OUR_HEADERS = namesOf(AUTHORIZATION_HEADER, DATE_HEADER, CLAIMS_HEADER);

/** Fields of a request that speak about one connection only. Fields that a client merely names in `Connection` are kept on purpose:
 *  dropping them would let a client strip `X-Forwarded-For`, by which the host recognises forged requests. */
export const REQUEST_HOP_BY_HOP = namesOf(...CONNECTION, ...FRAMING, "te", "trailer", "expect");

/** Fields of a response that speak about the connection to the host only. */
export const RESPONSE_HOP_BY_HOP = namesOf(...CONNECTION);

/** Fields of a response that speak about chunks. */
export const CHUNK_HEADERS = namesOf("transfer-encoding", "trailer");

/** Framing of a response: stated to the client whatever the `Connection` field names. */
export const RESPONSE_FRAMING = namesOf(...FRAMING, "trailer");

const ROUTING = namesOf(...FRAMING, "host");

/** True for a name that some servers fold into one that changes what a message means (framing, routing, what only we may set),
 *  because they read `_` as `-`. */
export function isLookAlike(name: string): boolean {
  if (!name.includes("_")) return false;
  const folded = name.replaceAll("_", "-");
  return ROUTING.has(folded) || folded.toLowerCase().startsWith(HOST_PREFIX);
}

/**
 * `text[from, to)` without blanks and tabs at its ends. By hand: a pattern for blanks at the end starts anew at every blank, and a
 * field may hold tens of thousands of them.
 */
export function trimBlanks(text: string, from = 0, to = text.length): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
