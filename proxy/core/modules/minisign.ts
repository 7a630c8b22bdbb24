// Signatures in the format of minisign(1): reads public keys and signature files, and verifies one against the other. Ed25519 over
// the file itself (`Ed`, the old form) or over its BLAKE2b-512 (`ED`), and a second signature over the trusted comment. What is not
// exactly in the format is refused; untrusted comments are skipped and never shown.

import { createHash, createPublicKey, verify } from "node:crypto";
import { err, ok, type Result } from "../result.ts";

export interface TrustedKey {
  /** 16 upper-case hex digits, as minisign prints it. Any key can be made with a given id: it only selects the key to try. */
  readonly id: string;
  /** 32 bytes. */
  readonly bytes: Uint8Array;
}

export interface ModuleSignature {
  readonly keyId: string;
  /** The hash of the content is signed, not the content. */
  readonly prehashed: boolean;
  /** 64 bytes. */
  readonly signature: Uint8Array;
  /** As the signer wrote it; worth nothing before {@link verifySignature} said yes. Free of control characters but tabs. */
  readonly trustedComment: string;
  /** 64 bytes, over signature and trusted comment. */
  readonly commentSignature: Uint8Array;
}

export const MAX_SIGNATURE_FILE_BYTES = 16 * 1024;
export const MAX_KEY_FILE_BYTES = 4 * 1024;

const ALGORITHM_BYTES = 2;
const ID_BYTES = 8;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const PLAIN = "Ed";
const PREHASHED = "ED";
const UNTRUSTED_COMMENT = "untrusted comment: ";
const TRUSTED_COMMENT = "trusted comment: ";
/** SubjectPublicKeyInfo of an Ed25519 key, up to the key itself. */
const SPKI_HEAD = Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00);

/**
 * Keys under which anybody can make signatures: the points of small order, in all their encodings. The last byte's upper bit, the
 * sign, is not compared.
 */
const WEAK_KEYS: ReadonlySet<string> = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

/** Reads a public key file as `minisign -G` writes it: a comment line and the key. */
export function parsePublicKey(text: string): Result<TrustedKey, string> {
  const lines = linesOf(text, MAX_KEY_FILE_BYTES, 2, "a public key of minisign");
  if (!lines.ok) return lines;
  const [comment = "", encoded = ""] = lines.value;
  if (!comment.startsWith(UNTRUSTED_COMMENT)) return err(`line 1: want "${UNTRUSTED_COMMENT}…"`);
  const bytes = decodeBase64(encoded, ALGORITHM_BYTES + ID_BYTES + KEY_BYTES);
  if (bytes === undefined) return err(`line 2: want the base64 of ${ALGORITHM_BYTES + ID_BYTES + KEY_BYTES} bytes`);
  if (algorithmOf(bytes) !== PLAIN) return err("line 2: want a key for Ed25519");
  const key = bytes.subarray(ALGORITHM_BYTES + ID_BYTES);
  if (isWeak(key)) return err("line 2: found a key under which anybody can sign");
  return ok({ id: keyIdOf(bytes), bytes: key });
}

/** Reads a signature file: comment, signature, trusted comment, signature of both. */
export function parseSignature(text: string): Result<ModuleSignature, string> {
  const lines = linesOf(text, MAX_SIGNATURE_FILE_BYTES, 4, "a signature of minisign");
  if (!lines.ok) return lines;
  const [comment = "", encoded = "", trusted = "", encodedGlobal = ""] = lines.value;
  if (!comment.startsWith(UNTRUSTED_COMMENT)) return err(`line 1: want "${UNTRUSTED_COMMENT}…"`);
  const bytes = decodeBase64(encoded, ALGORITHM_BYTES + ID_BYTES + SIGNATURE_BYTES);
  if (bytes === undefined) return err(`line 2: want the base64 of ${ALGORITHM_BYTES + ID_BYTES + SIGNATURE_BYTES} bytes`);
  const algorithm = algorithmOf(bytes);
  if (algorithm !== PLAIN && algorithm !== PREHASHED) return err('line 2: want a signature of kind "Ed" or "ED"');
  if (!trusted.startsWith(TRUSTED_COMMENT)) return err(`line 3: want "${TRUSTED_COMMENT}…"`);
  const trustedComment = trusted.slice(TRUSTED_COMMENT.length);
  if (hasControl(trustedComment)) return err("line 3: found a control character");
  const commentSignature = decodeBase64(encodedGlobal, SIGNATURE_BYTES);
  if (commentSignature === undefined) return err(`line 4: want the base64 of ${SIGNATURE_BYTES} bytes`);
  const signature = bytes.subarray(ALGORITHM_BYTES + ID_BYTES);
  return ok({ keyId: keyIdOf(bytes), prehashed: algorithm === PREHASHED, signature, trustedComment, commentSignature });
}

/**
 * The trusted key that signed this content, or in words why there is none. Both signatures must hold; keys with the named id are
 * tried one after the other.
 */
export function verifySignature(
  signature: ModuleSignature,
  content: Uint8Array,
  trusted: readonly TrustedKey[],
): Result<TrustedKey, string> {
  const candidates = trusted.filter(({ id }) => id === signature.keyId);
  if (candidates.length === 0) return err(`it is signed by key ${signature.keyId}, which is not trusted here`);
  const signed = signature.prehashed ? createHash("blake2b512").update(content).digest() : content;
  const key = candidates.find(({ bytes }) => holds(bytes, signed, signature.signature));
  if (key === undefined) return err(`the signature of key ${signature.keyId} is not one over this file`);
  const global = Buffer.concat([signature.signature, Buffer.from(signature.trustedComment, "utf8")]);
  if (!holds(key.bytes, global, signature.commentSignature)) return err(`the trusted comment was not written by key ${signature.keyId}`);
  return ok(key);
}

/** Seconds since 1970 that the signer put into the trusted comment; undefined when there are none. */
export function signedAtSeconds({ trustedComment }: ModuleSignature): number | undefined {
  const seconds = /(?:^|\t)timestamp:([0-9]{1,12})(?:\t|$)/.exec(trustedComment)?.[1];
  return seconds === undefined ? undefined : Number(seconds);
}

function holds(key: Uint8Array, content: Uint8Array, signature: Uint8Array): boolean {
  try {
    const publicKey = createPublicKey({ key: Buffer.concat([SPKI_HEAD, key]), format: "der", type: "spki" });
    return verify(null, content, publicKey, signature);
  } catch {
    // Not a point of the curve: nothing is signed by it.
    return false;
  }
}

/** The lines without their ends (LF or CRLF); the last one's end may be missing. */
function linesOf(text: string, maxBytes: number, wanted: number, what: string): Result<readonly string[], string> {
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes) return err(`found ${bytes} bytes, want ${what}`);
  const lines = text.split("\n").map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  if (lines.at(-1) === "") lines.pop();
  return lines.length === wanted ? ok(lines) : err(`found ${lines.length} lines, want ${what}: ${wanted} lines`);
}

/** The one spelling of so many bytes; undefined for every other text. */
function decodeBase64(text: string, length: number): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.length === length && bytes.toString("base64") === text ? bytes : undefined;
}

function algorithmOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, ALGORITHM_BYTES));
}

/** A little-endian number, printed. */
function keyIdOf(bytes: Uint8Array): string {
  const id = Uint8Array.from(bytes.subarray(ALGORITHM_BYTES, ALGORITHM_BYTES + ID_BYTES)).reverse();
  return Buffer.from(id).toString("hex").toUpperCase();
}

function isWeak(key: Uint8Array): boolean {
  const unsigned = Uint8Array.from(key);
  unsigned[KEY_BYTES - 1] = (unsigned[KEY_BYTES - 1] ?? 0) & 0x7f;
  return WEAK_KEYS.has(Buffer.from(unsigned).toString("hex"));
}

function hasControl(text: string): boolean {
  return /[\x00-\x08\x0a-\x1f\x7f-\x9f]/.test(text);
}
