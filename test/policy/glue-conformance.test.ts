// Our canonical ABI against the glue that jco generates for the same world, on random questions and answers. What a guest would read
// of a question is read back by a reader that shares no code with either; what it answers is put into memory byte by byte.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { MAX_REASON_BYTES, type PolicyAnswer, type PolicyQuestion } from "../../proxy/core/modules/policy-question.ts";
import { liftOutcome, liftSettled, lowerQuestion } from "../../proxy/core/wasm/canonical-abi.ts";
import { GuestFault, GuestMemory, type TextEncoding } from "../../proxy/core/wasm/guest-memory.ts";
import { claimsOf } from "../support/claims.ts";
import { readQuestion } from "../support/guest-reader.ts";
import { type Authorizer, instantiateAuthorizer, toWitCaller, toWitRequest } from "../support/jco-glue.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { randomCaller, randomRequest } from "../support/rule-cases.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SEED = 20_260_701;
const INTERFACE = "azure:proxy-agent-policy/authorizer@1.0.0";
const ANSWER_AT = 4096;
const EMPTY_MODULE = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));

/** A guest made of JavaScript: a bump allocator that grows its memory, and a place for answers. */
class PlainGuest {
  readonly memory = new WebAssembly.Memory({ initial: 1, maximum: 400 });
  #top = 2 * ANSWER_AT;
  seen: unknown;

  readonly realloc = (_old: number, _oldBytes: number, align: number, bytes: number): number => {
    const start = Math.ceil(this.#top / align) * align;
    this.#top = start + bytes;
    const missing = this.#top - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / 65_536));
    return start;
  };

  forget(): void {
    this.#top = 2 * ANSWER_AT;
  }

  /** Behind jco's glue; `evaluate` reads its arguments and answers what stands at ANSWER_AT. */
  authorizer(): Authorizer {
    const evaluate = (at: number): number => {
      this.seen = readQuestion(this.memory.buffer, at, "utf8");
      return ANSWER_AT;
    };
    return instantiateAuthorizer(EMPTY_MODULE, {
      memory: this.memory,
      cabi_realloc: this.realloc,
      [`${INTERFACE}#validate-settings`]: () => ANSWER_AT,
      [`${INTERFACE}#configure`]: () => ANSWER_AT,
      [`${INTERFACE}#evaluate`]: evaluate,
      [`cabi_post_${INTERFACE}#validate-settings`]: () => undefined,
      [`cabi_post_${INTERFACE}#configure`]: () => undefined,
      [`cabi_post_${INTERFACE}#evaluate`]: () => undefined,
    });
  }
}

const TEXTS = [
  "",
  "a",
  "metadata",
  "x".repeat(47),
  "y".repeat(48),
  "z".repeat(49),
  "é",
  "日本",
  "🔑",
  "a\u0000b",
  "\ud800",
  "q".repeat(5000),
] as const;

function randomText(random: Random): string {
  return random.oneIn(3) ? `${random.pick(TEXTS)}${random.pick(TEXTS)}` : random.pick(TEXTS);
}

function randomQuestion(random: Random): PolicyQuestion {
  const known = <Value>(value: Value): Value | undefined => (random.oneIn(3) ? undefined : value);
  const field = () => ({ name: randomText(random), value: randomText(random) });
  const request = randomRequest(random).canonical;
  return {
    request: {
      ...request,
      trailingSlash: random.oneIn(2),
      query: random.list(0, 3, field),
      segments: random.list(0, 5, () => randomText(random)),
    },
    claims: claimsOf({
      ...randomCaller(random),
      processId: random.below(2 ** 32),
      userId: random.below(2 ** 32),
      runAsElevated: random.oneIn(2),
      userName: known(randomText(random)),
      userGroups: random.list(0, 4, () => randomText(random)),
      executableSha256: known("ab".repeat(32)),
      cgroupId: BigInt(random.below(2 ** 32)) * 2n ** 31n,
      cgroupPath: known("/system.slice/ssh.service"),
    }),
    headers: random.list(0, 3, field),
    uptimeSeconds: random.below(2 ** 31) * 1000,
    unixSeconds: random.below(2 ** 32),
    soFar: known({
      kind: random.pick(["allow", "deny", "abstain"]),
      reason: "granted",
      rule: randomText(random),
      labels: random.list(0, 3, () => [randomText(random), randomText(random)] as const),
    }),
  };
}

/** What the world makes of a question: half surrogates become U+FFFD on the way. */
function expectedOf({ request, claims, soFar, ...seen }: PolicyQuestion): unknown {
  const value = { request: toWitRequest(request, seen), caller: toWitCaller(claims), soFar };
  const wellFormed = (each: unknown): unknown => {
    if (typeof each === "string") return each.toWellFormed();
    if (Array.isArray(each)) return each.map(wellFormed);
    if (typeof each !== "object" || each === null) return each;
    return Object.fromEntries(Object.entries(each).map(([name, member]) => [name, wellFormed(member)]));
  };
  return wellFormed(value);
}

describe(`questions (seed ${SEED})`, () => {
  test("a guest reads the same of ours as of jco's", () => {
    const random = seededRandom(SEED);
    const guest = new PlainGuest();
    const authorizer = guest.authorizer();
    new DataView(guest.memory.buffer).setUint32(ANSWER_AT + 4, ANSWER_AT + 100, true);
    for (let i = 0; i < 400; i++) {
      const question = randomQuestion(random);
      const expected = expectedOf(question);
      guest.forget();
      authorizer.evaluate(toWitRequest(question.request, question), toWitCaller(question.claims), question.soFar);
      expect(guest.seen).toEqual(expected);
      expect(lowerAndRead(question, "utf8")).toEqual(expected);
      expect(lowerAndRead(question, "utf16")).toEqual(expected);
    }
  });

  test("memory that grows under the allocation is seen", () => {
    const large = "w".repeat(100_000);
    const question = { ...randomQuestion(seededRandom(SEED)), headers: [{ name: large, value: large }] };
    expect(lowerAndRead(question, "utf8")).toEqual(expectedOf(question));
  });
});

function lowerAndRead(question: PolicyQuestion, encoding: TextEncoding): unknown {
  const guest = new PlainGuest();
  const memory = new GuestMemory(guest.memory, guest.realloc, encoding);
  memory.refresh();
  const at = lowerQuestion(memory, question);
  return readQuestion(guest.memory.buffer, at, encoding);
}

/** An outcome record at ANSWER_AT with its texts behind it, sometimes damaged. */
function writeAnswer(random: Random, memory: WebAssembly.Memory): void {
  const view = new DataView(memory.buffer);
  const bytes = new Uint8Array(memory.buffer);
  let top = ANSWER_AT + 128;
  const text = (at: number, content: string): void => {
    const encoded = new TextEncoder().encode(content);
    view.setUint32(at, top, true);
    view.setUint32(at + 4, encoded.length, true);
    bytes.set(encoded, top);
    top += encoded.length;
  };
  bytes.fill(0, ANSWER_AT, 2 * ANSWER_AT);
  view.setUint8(ANSWER_AT, random.below(3));
  text(ANSWER_AT + 4, random.pick(["granted", "no", "a reason of several words", "r".repeat(256)]));
  text(ANSWER_AT + 12, random.pick(["", "rule", "règle 🔑"]));
  const labels = random.below(4);
  const list = (top + 3) & ~3;
  top = list + 16 * labels;
  view.setUint32(ANSWER_AT + 20, list, true);
  view.setUint32(ANSWER_AT + 24, labels, true);
  for (let i = 0; i < labels; i++) {
    text(list + 16 * i, random.pick(["", "name", "größe"]));
    text(list + 16 * i + 8, random.pick(["", "value"]));
  }
  if (random.oneIn(3)) return;
  for (let damage = random.below(3); damage >= 0; damage--) {
    const at = ANSWER_AT + (random.oneIn(3) ? random.below(256) : random.below(28));
    bytes[at] = random.oneIn(2) ? random.below(256) : (bytes[at] ?? 0) ^ (1 << random.below(8));
  }
}

function attempt<Value>(run: () => Value): Value | undefined {
  try {
    return run();
  } catch (error) {
    // jco throws many kinds; ours must be the one that is turned into a value.
    if (error instanceof GuestFault || !(error instanceof ReferenceError)) return undefined;
    throw error;
  }
}

describe(`answers (seed ${SEED})`, () => {
  test("T-64: what we accept of an answer, damaged ones too, is what jco reads; what jco refuses, we refuse", () => {
    const random = seededRandom(SEED + 1);
    const guest = new PlainGuest();
    const authorizer = guest.authorizer();
    const memory = new GuestMemory(guest.memory, guest.realloc, "utf8");
    const question = { ...randomQuestion(random), soFar: undefined };
    const [request, caller] = [toWitRequest(question.request, question), toWitCaller(question.claims)];
    const counts = { both: 0, stricter: 0, neither: 0 };
    for (let i = 0; i < 8_000; i++) {
      guest.forget();
      writeAnswer(random, guest.memory);
      memory.refresh();
      const ours = attempt(() => liftOutcome(memory, ANSWER_AT, MAX_REASON_BYTES));
      // A text or list as large as the memory is ours to refuse; jco would spend seconds on it.
      if (ours === undefined && claimsTooMuch(guest.memory)) continue;
      const theirs = attempt(() => guest.authorizer().evaluate(request, caller, undefined));
      if (ours !== undefined) {
        counts.both++;
        expect(theirs).toEqual({ ...ours, labels: ours.labels.map(([name, value]) => [name, value] as [string, string]) });
      } else if (theirs === undefined) counts.neither++;
      else {
        counts.stricter++;
        expect(isWithinTheWorld(theirs, guest.memory)).toBe(false);
      }
    }
    // The cases are of all three sorts: otherwise this compares nothing.
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(100);
    expect(authorizer).toBeDefined();
  });

  test.each<[string, string | undefined | "fault", readonly [tag: number, pointer: number, length: number]]>([
    ["success", undefined, [0, 0, 0]],
    ["an error", "why not", [1, ANSWER_AT + 64, 7]],
    ["an error without text", "", [1, 0, 0]],
    ["an unknown case", "fault", [2, 0, 0]],
    ["an error outside the memory", "fault", [1, 65_530, 7]],
    ["an error of the memory's size", "fault", [1, 0, 0xffffffff]],
  ])("settings: %s", (_, expected, [tag, pointer, length]) => {
    const guest = new PlainGuest();
    const view = new DataView(guest.memory.buffer);
    view.setUint8(ANSWER_AT, tag);
    view.setUint32(ANSWER_AT + 4, pointer, true);
    view.setUint32(ANSWER_AT + 8, length, true);
    new Uint8Array(guest.memory.buffer).set(new TextEncoder().encode("why not"), ANSWER_AT + 64);
    const memory = new GuestMemory(guest.memory, guest.realloc, "utf8");
    memory.refresh();
    if (expected === "fault") expect(() => liftSettled(memory, ANSWER_AT)).toThrow(GuestFault);
    else expect(liftSettled(memory, ANSWER_AT)).toBe(expected);
  });

  test.each<[string, unknown]>([
    ["odd addresses", ANSWER_AT + 1],
    ["addresses outside the memory", 65_536],
    ["addresses near the end", 65_536 - 24],
    ["negative addresses", -4],
    ["numbers of 64 bits", 4096n],
    ["nothing", undefined],
  ])("T-64: %s are refused as an answer", (_, pointer) => {
    const guest = new PlainGuest();
    const memory = new GuestMemory(guest.memory, guest.realloc, "utf8");
    memory.refresh();
    expect(() => liftOutcome(memory, pointer, MAX_REASON_BYTES)).toThrow(GuestFault);
  });

  test.each<[string, number, readonly number[]]>([
    ["an odd address", 1, [0x61, 0]],
    ["half of a surrogate pair", 0, [0x3d, 0xd8]],
  ])("T-64: UTF-16 at %s is refused", (_, shift, units) => {
    const guest = new PlainGuest();
    const view = new DataView(guest.memory.buffer);
    view.setUint32(ANSWER_AT + 4, ANSWER_AT + 64 + shift, true);
    view.setUint32(ANSWER_AT + 8, units.length / 2, true);
    new Uint8Array(guest.memory.buffer).set(units, ANSWER_AT + 64 + shift);
    const memory = new GuestMemory(guest.memory, guest.realloc, "utf16");
    memory.refresh();
    expect(() => liftOutcome(memory, ANSWER_AT, MAX_REASON_BYTES)).toThrow(GuestFault);
  });

  test.each([
    ["outside the memory", () => 400 * 65_536],
    ["unaligned", () => 12_345],
    ["no number", () => undefined],
  ])("T-64: an allocator that answers %s is refused before anything is written", (_, realloc) => {
    const guest = new PlainGuest();
    const memory = new GuestMemory(guest.memory, realloc, "utf8");
    memory.refresh();
    expect(() => lowerQuestion(memory, randomQuestion(seededRandom(SEED)))).toThrow(GuestFault);
    expect(new Uint8Array(guest.memory.buffer).every((byte) => byte === 0)).toBe(true);
  });
});

function claimsTooMuch({ buffer }: WebAssembly.Memory): boolean {
  const view = new DataView(buffer);
  return [8, 16, 24].some((at) => view.getUint32(ANSWER_AT + at, true) > 10_000);
}

/** jco puts U+FFFD where bytes are not UTF-8, and does not look where lists begin, only at their elements: the canonical ABI traps at both. */
function isWithinTheWorld({ reason, rule, labels }: PolicyAnswer, { buffer }: WebAssembly.Memory): boolean {
  const bytes = (text: string) => (text.includes("\ufffd") ? Number.POSITIVE_INFINITY : Buffer.byteLength(text));
  if (!/^[\x20-\x7e]{1,256}$/.test(reason) || bytes(rule) > 4096 || labels.length > 16) return false;
  const list = new DataView(buffer).getUint32(ANSWER_AT + 20, true);
  if (list % 4 !== 0 || list > buffer.byteLength) return false;
  return labels.every(([name, value]) => bytes(name) <= 64 && bytes(value) <= 256);
}
