// Finds in the code what the documents must list: threat ids of tests, log events, reason words, config keys. Pure: text in,
// facts out. A form of writing that these patterns do not know is a fact that the check misses, so they stay simple.

export interface Source {
  readonly path: string;
  readonly text: string;
}

/** A word, and where it was first seen. */
export interface Fact {
  readonly word: string;
  readonly path: string;
  readonly line: number;
}

/** Ids such as T-07 in the text of a test file. */
export function findThreatIds(sources: readonly Source[]): readonly Fact[] {
  return find(sources, [/\b(T-[0-9]{2,3})\b/g]);
}

/** Event names given to a log, and those a request ends in. */
export function findLogEvents(sources: readonly Source[]): readonly Fact[] {
  const written = find(sources, [/\blog\.(?:error|warn|info|debug)\(\s*"([a-z-]+)"/g]);
  const ends = sources.flatMap((source) => unionWords(source, /readonly event: ([^;]+);/));
  // Lines that the log writes about itself.
  const ownLines = find(sources, [/\bmakeLine\("[a-z]+", "([a-z-]+)"/g]);
  return firstOfEach([...written, ...ends, ...ownLines]);
}

/** Stable reason words of requests and connections. */
export function findReasons(sources: readonly Source[]): readonly Fact[] {
  const written = find(sources, [
    /\breason: "([a-z-]+)"/g,
    /\bend\("[a-z-]+", [^,]+, "([a-z-]+)"/g,
    /\brefused\(peer, "([a-z-]+)"/g,
    /\banswer\(A\.(?:ALLOW|DENY), "([a-z-]+)"/g,
  ]);
  const prefixed = sources.some(({ text }) => text.includes("reason: `host-$" + "{outcome.cause}`"));
  const causes = prefixed ? sources.flatMap((source) => unionWords(source, /"host-failed"; readonly cause: ([^;]+);/)) : [];
  return firstOfEach([...written, ...causes.map((fact) => ({ ...fact, word: `host-${fact.word}` }))]);
}

/** Keys of the config file, with and without effect. */
export function findConfigKeys(source: Source): readonly Fact[] {
  const lists = [...source.text.matchAll(/const (?:KNOWN|ACCEPTED_WITHOUT_EFFECT) = \[([^\]]*)\]/g)];
  return lists.flatMap((list) =>
    [...(list[1] ?? "").matchAll(/"([^"]+)"/g)].map((match) => ({
      word: match[1] ?? "",
      path: source.path,
      line: lineAt(source.text, (list.index ?? 0) + list[0].indexOf(match[0])),
    })),
  );
}

/** The quoted words of a union type that a pattern's first group holds. */
function unionWords(source: Source, pattern: RegExp): readonly Fact[] {
  const union = pattern.exec(source.text);
  if (union === null) return [];
  return [...(union[1] ?? "").matchAll(/"([a-z-]+)"/g)].map((match) => ({
    word: match[1] ?? "",
    path: source.path,
    line: lineAt(source.text, union.index),
  }));
}

function find(sources: readonly Source[], patterns: readonly RegExp[]): readonly Fact[] {
  const found = sources.flatMap(({ path, text }) =>
    patterns.flatMap((pattern) =>
      [...text.matchAll(pattern)].map((match) => ({ word: match[1] ?? "", path, line: lineAt(text, match.index) })),
    ),
  );
  return firstOfEach(found);
}

function firstOfEach(facts: readonly Fact[]): readonly Fact[] {
  const first = new Map<string, Fact>();
  for (const fact of facts) if (!first.has(fact.word)) first.set(fact.word, fact);
  return [...first.values()];
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}
