// Waiting for what a test needs: as short as it takes, and long enough for a machine that does other things as well.

const LIMIT_MS = 30_000;
const POLL_MS = 10;

/** Resolves as soon as it holds; throws, and says what did not happen, when it takes too long. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, limitMs = LIMIT_MS): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`did not happen within ${limitMs / 1000} s: ${what}`);
    await Bun.sleep(POLL_MS);
  }
}
