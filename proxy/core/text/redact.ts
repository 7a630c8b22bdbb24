// Removes secrets from foreign text (command lines, messages) before it reaches a log or the telemetry.
// It must stay linear in the length of hostile text: every repetition is bounded, or starts at a fixed word and consumes
// what it reads. Redacting too much is fine, an exact list of secrets is impossible.

const REDACTED = "[REDACTED]";

interface SecretShape {
  /** Lower case; without one of these words in the text the pattern is not tried. */
  readonly words: readonly string[];
  readonly pattern: RegExp;
  readonly replacement: string;
}

const KEPT_NAME = `$1${REDACTED}`;

const SHAPES: readonly SecretShape[] = [
  // PEM bodies first: later patterns would take them apart. An end that was cut off counts as the end of the text.
  {
    words: ["private key"],
    pattern: /(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----)[\s\S]*?(?=-----END|$)/g,
    replacement: KEPT_NAME,
  },
  // Everything up to the end of the header line or of the quoted string: schemes differ in how many words they use.
  {
    words: ["authorization"],
    pattern: /(authorization["']?\s{0,64}[:=]\s{0,64}["']?)(?!\[REDACTED\])[^\s"'][^\r\n"']*/gi,
    replacement: KEPT_NAME,
  },
  { words: ["bearer"], pattern: /(\bbearer\s{1,3})[A-Za-z0-9._~+/=-]{8,}/gi, replacement: KEPT_NAME },
  { words: ["eyj"], pattern: /eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]{0,8192}){0,4}/g, replacement: REDACTED },
  // scheme://user:password@host
  { words: ["://"], pattern: /(:\/\/)[^\s/?#@:]{0,256}:[^\s/]{1,512}@/g, replacement: `${KEPT_NAME}@` },
  { words: ["sig="], pattern: /(\bsig=)[^\s&"'<>;]+/gi, replacement: KEPT_NAME },
  // SQL connection strings: the value may hold blanks and ends at a semicolon.
  {
    words: ["pwd=", "password="],
    pattern: /((?:pwd|password)=)(?!\[REDACTED\])[^;\s"'=][^;\r\n"'=]{0,256};/gi,
    replacement: `${KEPT_NAME};`,
  },
  {
    words: ["accountkey", "primarykey", "secondarykey", "accesskey"],
    pattern: /((?:account|primary|secondary|access)key\s{0,3}=\s{0,3})[^\s;"'&]+/gi,
    replacement: KEPT_NAME,
  },
  // name=value, name: value, "name": "value"
  {
    words: ["pwd", "passw", "secret", "token"],
    pattern: /((?:pwd|password|passwd|secret|token)["']?\s{0,3}[=:]\s{0,3})(?!\[REDACTED\])(?:"[^"]*"?|'[^']*'?|[^\s"'&;,<>]+)/gi,
    replacement: KEPT_NAME,
  },
  { words: ["key"], pattern: /(key["']?\s{0,3}[=:]\s{0,3}["']?)[A-Za-z0-9+/=_.~-]{16,}/gi, replacement: KEPT_NAME },
  // --client-secret value
  {
    words: ["secret", "token", "passw", "pwd", "key"],
    pattern: /((?<![\w-])--?(?:[A-Za-z]{1,20}-){0,4}(?:secret|token|password|passwd|pwd|key)\s{1,3})(?!-)\S+/gi,
    replacement: KEPT_NAME,
  },
  // curl -u user:password
  { words: ["-u"], pattern: /((?<!\S)(?:-u|--user|--proxy-user)[\s=]{0,2}[^\s:@/=-][^\s:@/=]{0,99}:)[^\s]+/gi, replacement: KEPT_NAME },
  // Keys that carry their issuer's mark: cache, container registry, DevOps, application secrets.
  { words: ["azca"], pattern: /(?:[A-Za-z0-9+/]{33})?AzCa[A-Za-z0-9+/]{5,60}={0,2}/g, replacement: REDACTED },
  { words: ["+acr"], pattern: /[A-Za-z0-9+/]{42}\+ACR[A-Za-z0-9]{6}/g, replacement: REDACTED },
  { words: ["azdo"], pattern: /[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}/g, replacement: REDACTED },
  { words: ["q~"], pattern: /[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}/g, replacement: REDACTED },
  {
    words: ["ado", "vsts", "token", "devops", "pat"],
    pattern: /(?<![A-Za-z0-9])[a-z2-7]{52}(?![A-Za-z0-9])/g,
    replacement: REDACTED,
  },
  // Bare 32- and 64-byte keys in base64, and 40-character cloud secrets, when the text speaks of keys at all.
  {
    words: ["key", "secret", "token", "passw", "pwd"],
    pattern: /(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{43}(?:=|[A-Za-z0-9+/_-]{43}==)(?![A-Za-z0-9+/=_-])/g,
    replacement: REDACTED,
  },
  {
    words: ["key", "secret"],
    pattern: /((?:key|secret)[A-Za-z_-]{0,20}["'\s:=>]{1,6})[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])/gi,
    replacement: KEPT_NAME,
  },
];

/** The same text with known forms of secrets replaced by `[REDACTED]`. Linear time; doing it twice changes nothing. */
export function redactSecrets(text: string): string {
  const lower = text.toLowerCase();
  let redacted = text;
  for (const shape of SHAPES) {
    if (shape.words.some((word) => lower.includes(word))) redacted = redacted.replace(shape.pattern, shape.replacement);
  }
  return redacted;
}
