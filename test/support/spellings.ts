// Spellings of one request, as somebody would try them who wants to get past a rule, or around it: the same thing written
// differently, things that only look the same, and things with more than one reading. Knows nothing of the code under test.

import type { Random } from "./random.ts";

export interface PlainTarget {
  /** Lower-case letters, digits, `-` and `.`; none is `.` or `..`. */
  readonly segments: readonly [string, ...string[]];
  /** Lower-case names, each once; any values. */
  readonly query: readonly (readonly [name: string, value: string])[];
}

export interface Spelling {
  readonly target: string;
  /**
   * `same`: a clear reading, and it is the plain target or one below it. `other`: a clear reading, of something that the plain
   * target does not cover. `unclear`: two parties could read it differently, so nobody may pass with it.
   */
  readonly meaning: "same" | "other" | "unclear";
  /** What was done to it, for messages. */
  readonly tricks: readonly string[];
}

/** Spellings of one target, the three meanings mixed. */
export function spellings(random: Random, plain: PlainTarget, count: number): Spelling[] {
  return Array.from(
    { length: count },
    (_, i) => [spellSame, spellSame, spellOther, spellUnclear][i % 4]?.(random, plain) ?? spellSame(random, plain),
  );
}

const SAME_HOSTS = [
  "http://169.254.169.254",
  "HTTP://169.254.169.254:80",
  "http://2852039166",
  "http://0xA9FEA9FE:80",
  "http://0251.0376.0251.0376",
  "http://169.254.43518",
  "http://169.254.169.254.",
  "http://[::ffff:169.254.169.254]",
  "http://[::FFFF:a9fe:a9fe]:80",
] as const;

/** All of these leave the segments as they are. */
const JOINTS = [
  "/",
  "/",
  "/",
  "//",
  "/./",
  "/%2e/",
  "%2F",
  "%2f%2F",
  "/.%2f",
  "/x/../",
  "/a/b/%2E%2e/.%2E/",
  "/;v=1/",
  "/;/",
  "/y;z=%2e/..",
] as const;
const TAILS = ["", "", "", "/", "//", "/.", "/%2E", ";v=1", ";a;b=/", "/below", "/x/..", "/%2e%2e%2f"] as const;

function spellSame(random: Random, { segments, query }: PlainTarget): Spelling {
  const tricks: string[] = [];
  const pick = (choices: readonly [string, ...string[]], what: string) => {
    const choice = random.pick(choices);
    if (choice !== choices[0]) tricks.push(`${what} ${choice}`);
    return choice;
  };
  const written = segments.map((segment) => `${spellText(random, segment, "path")}${pick(["", "", "", ";a=b", ";", "%3Bc"], "matrix")}`);
  let path = `/${random.oneIn(5) ? pick(["", "/", "./", "x/../"], "start") : ""}`;
  for (const [i, segment] of written.entries()) {
    const joint = i === 0 ? "" : pick(JOINTS, "joint");
    // A joint that ends in dot-dot and no slash takes back one of its own segments.
    path += `${joint}${joint.endsWith("..") ? "/" : ""}${segment}`;
  }
  // What comes last must not take the last segment back.
  const tail = pick(TAILS, "tail");
  path += tail === "/%2e%2e%2f" ? `/gone${tail}` : tail;
  const authority = random.oneIn(6) ? random.pick(SAME_HOSTS) : "";
  if (authority !== "") tricks.push(authority);
  return { target: `${authority}${path}${spellQuery(random, query)}`, meaning: "same", tricks };
}

/** Parameters in any order, among others, spelled in any way, repeated as they are. */
function spellQuery(random: Random, query: PlainTarget["query"]): string {
  const pairs = query.flatMap(([name, value]) => {
    const one = () => {
      const written = spellText(random, name, "query");
      return value === "" && random.oneIn(2) ? written : `${written}=${spellText(random, value, "query")}`;
    };
    return random.oneIn(4) ? [one(), one()] : [one()];
  });
  const others = random.list(0, 2, () => random.pick(["unrelated=1", "", "=nameless", "other=%20", "un+used=c+d"]));
  const all = random.shuffled([...pairs, ...others]);
  return all.length === 0 ? (random.oneIn(4) ? "?" : "") : `?${all.join("&")}`;
}

/** One text with letters in either case and characters escaped at will. */
function spellText(random: Random, text: string, place: "path" | "query"): string {
  const escapeOften = random.pick([2, 6, 1000]);
  let written = "";
  for (const character of text) {
    const cased = random.oneIn(3) ? upperAscii(character) : character;
    if (place === "query" && character === " " && random.oneIn(2)) written += "+";
    else if (/[A-Za-z0-9.-]/.test(character) && !random.oneIn(escapeOften)) written += cased;
    else written += escapeAll(random, cased);
  }
  return written;
}

function escapeAll(random: Random, text: string): string {
  return [...Buffer.from(text, "utf8")]
    .map((byte) => `%${random.oneIn(2) ? byte.toString(16).padStart(2, "0") : byte.toString(16).toUpperCase().padStart(2, "0")}`)
    .join("");
}

function upperAscii(text: string): string {
  return text.replace(/[a-z]/g, (letter) => letter.toUpperCase());
}

function spellOther(random: Random, plain: PlainTarget): Spelling {
  const { segments, query } = plain;
  const which = random.below(segments.length);
  const changed = (change: (segment: string) => string) => segments.map((segment, i) => (i === which ? change(segment) : segment));
  const withPath = (path: readonly string[], trick: string): Spelling => ({
    target: `/${path.join("/")}${plainQuery(query)}`,
    meaning: "other",
    tricks: [trick],
  });
  const choices: (() => Spelling)[] = [
    () =>
      withPath(
        changed((segment) => `${segment}x`),
        "longer segment",
      ),
    () =>
      withPath(
        changed((segment) => `${segment}.`),
        "dot at the end",
      ),
    () =>
      withPath(
        changed((segment) => `${segment}%20`),
        "blank at the end",
      ),
    () =>
      withPath(
        changed((segment) => `%20${segment}`),
        "blank at the beginning",
      ),
    () =>
      withPath(
        changed((segment) => `${segment}-attacker`),
        "sibling",
      ),
    () =>
      withPath(
        changed((segment) => `+${segment}`),
        "plus is no blank in paths",
      ),
    () =>
      withPath(
        changed((segment) => `%25${segment.charCodeAt(0).toString(16)}${segment.slice(1)}`),
        "escaped twice",
      ),
    () =>
      withPath(
        changed((segment) => `${segment}%252f`),
        "slash escaped twice",
      ),
    () =>
      withPath(
        changed((segment) => `${segment.slice(0, -1)}`).filter((segment) => segment !== ""),
        "shorter segment",
      ),
    () => withPath([...segments.slice(0, which), "x", ...segments.slice(which)], "one more before"),
    () => withPath([...segments, "..", "z"], "taken back at the end"),
    () => withPath([...segments.slice(0, -1), "x%2f%2e%2e%2fz", segments.at(-1) ?? ""], "another parent"),
  ];
  const [first] = query;
  if (first !== undefined) {
    const [name, value] = first;
    const rest = query.slice(1);
    const withQuery = (pairs: PlainTarget["query"], trick: string): Spelling => ({
      target: `/${segments.join("/")}${plainQuery(pairs)}`,
      meaning: "other",
      tricks: [trick],
    });
    choices.push(
      () => withQuery(rest, "parameter left out"),
      () => withQuery([[name, `${value}x`], ...rest], "another value"),
      () => withQuery([[name, `${value} `], ...rest], "a blank after the value"),
      () => withQuery([[`${name}x`, value], ...rest], "another name"),
      () => withQuery([[`${name}[]`, value], ...rest], "an array's name"),
      () => withQuery([["p", `q&${name}=${value}`], ...rest], "parameter inside a value"),
      () => withQuery([[name, encodeURIComponent(`${value}/`)], ...rest], "value escaped twice"),
    );
  }
  return choices[random.below(choices.length)]?.() ?? withPath(["z"], "elsewhere");
}

function spellUnclear(random: Random, plain: PlainTarget): Spelling {
  const { segments, query } = plain;
  const path = `/${segments.join("/")}`;
  const whole = `${path}${plainQuery(query)}`;
  const join = query.length === 0 ? "?" : "&";
  const choices: [string, string][] = [
    [whole.replace("/", "/%00"), "NUL"],
    [`${path}%0d%0a${plainQuery(query)}`, "line break"],
    [`${path}%7f${plainQuery(query)}`, "DEL"],
    [`${path}%3F${plainQuery(query).slice(1)}`, "escaped question mark"],
    [`${path}%${plainQuery(query)}`, "lone percent"],
    [`${path}%4${plainQuery(query)}`, "half an escape"],
    [`${path}%u0041${plainQuery(query)}`, "an escape of another language"],
    [`/%c0%af${path}${plainQuery(query)}`, "overlong slash"],
    [`${path}%ff${plainQuery(query)}`, "not UTF-8"],
    [`${path.replace("/", "/%ef%bc%8f")}${plainQuery(query)}`, "a letter that folds to a slash"],
    [`${path}%e2%84%aa${plainQuery(query)}`, "a letter that folds to k"],
    [`/x\\..${path}${plainQuery(query)}`, "backslash"],
    [`/x%5c..${path}${plainQuery(query)}`, "escaped backslash"],
    [`/..${path}${plainQuery(query)}`, "above the root"],
    [`/a/../%2e%2e${path}${plainQuery(query)}`, "above the root, later"],
    [`${whole}${join}k=%zz`, "bad escape in the query"],
    [`${whole}${join}%fe=1`, "query not UTF-8"],
    [`${whole}${join}k=a%0ab`, "line break in the query"],
    [`http://user@169.254.169.254${whole}`, "user information"],
    [`http://169.254.169.254:8080${whole}`, "another port"],
    [`http://168.63.129.16${whole}`, "another endpoint"],
    [`http://metadata.example${whole}`, "a name"],
    [`https://169.254.169.254${whole}`, "another scheme"],
    [`http://169.254.169.254.1${whole}`, "no address"],
    [`http://[::ffff:169.254.169.254${whole}`, "half an address"],
  ];
  for (const [name, value] of query) {
    choices.push(
      [`${whole}&${escapeAll(random, name)}=${encodeURIComponent(`${value}x`)}`, "second value at the end"],
      [`${path}?${upperAscii(name).replaceAll(" ", "+")}=other${plainQuery(query).replace("?", "&")}`, "second value at the beginning"],
    );
  }
  const [target, trick] = choices[random.below(choices.length)] ?? [`${path}%`, "lone percent"];
  return { target, meaning: "unclear", tricks: [trick] };
}

function plainQuery(query: PlainTarget["query"]): string {
  return query.length === 0 ? "" : `?${query.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join("&")}`;
}
