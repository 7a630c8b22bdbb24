// Which word somebody may have meant: for messages about a key, command or option that does not exist. Never decides anything.

/** Longer words are of no use in a message, and would cost time. */
const MAX_CHARACTERS = 64;
/** One wrong character in so many is a typing mistake. */
const CHARACTERS_PER_MISTAKE = 3;
/** So much of the beginning of a word stands for it. */
const LEAST_PREFIX_CHARACTERS = 3;

/**
 * The known word that is nearest to what was found, letter case ignored; undefined when none is near.
 * Near is: at most one mistake in three characters (a character too few, too many, changed, or two that changed places), or its beginning.
 */
export function nearestWord(found: string, known: readonly string[]): string | undefined {
  if (found.length > MAX_CHARACTERS) return undefined;
  const word = found.toLowerCase();
  let nearest: { readonly word: string; readonly mistakes: number } | undefined;
  for (const candidate of known) {
    const lower = candidate.toLowerCase();
    const isBeginning = word.length >= LEAST_PREFIX_CHARACTERS && lower.startsWith(word);
    const mistakes = isBeginning ? 1 : countMistakes(word, lower);
    const most = Math.max(1, Math.floor(Math.max(word.length, lower.length) / CHARACTERS_PER_MISTAKE));
    // Two words of which nothing is the same are not near, however short.
    if (mistakes > most || mistakes >= Math.max(word.length, lower.length)) continue;
    if (nearest === undefined || mistakes < nearest.mistakes) nearest = { word: candidate, mistakes };
  }
  return nearest?.word;
}

/** Optimal string alignment distance. */
function countMistakes(left: string, right: string): number {
  let before: readonly number[] = [];
  let row: readonly number[] = Array.from({ length: right.length + 1 }, (_, i) => i);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const changed = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      const least = Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
      const swapped = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      next.push(swapped ? Math.min(least, (before[j - 2] ?? 0) + 1) : least);
    }
    before = row;
    row = next;
  }
  return row[right.length] ?? 0;
}
