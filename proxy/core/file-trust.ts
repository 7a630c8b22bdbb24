// Whether what the system says about a file or folder means that its owner alone can have written it. The look is the adapters', at the
// open descriptor; this only judges it.

/** Key material: nobody but the owner may even look. */
export const SECRET = 0o077;
/** What decides or runs: others may read, none but the owner may write. */
export const TRUSTED = 0o022;

/** As fstat(2) has it. */
export interface OwnerAndMode {
  readonly uid: number;
  readonly mode: number;
}

export interface LookedAt extends OwnerAndMode {
  readonly nlink: number;
  readonly size: number;
  isFile(): boolean;
}

/** Permission bits as people write them: `0644`. */
export function renderMode(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}

/**
 * @param owner - the user id that it must belong to
 * @param forbidden - permission bits that must not be set
 * @returns in words why it is not trusted; undefined when it is
 */
export function distrustOwner({ uid, mode }: OwnerAndMode, owner: number, forbidden: typeof SECRET | typeof TRUSTED): string | undefined {
  if (uid !== owner) return `owner is uid ${uid}, want ${owner === 0 ? "root" : owner}`;
  if ((mode & forbidden) === 0) return undefined;
  return `mode is ${renderMode(mode)}, want ${forbidden === SECRET ? "0600" : "one that only the owner may write to"}`;
}

/** As {@link distrustOwner}, of a file that is to be read whole: a regular one with one name, no longer than it may be. */
export function distrustFile(
  found: LookedAt,
  owner: number,
  forbidden: typeof SECRET | typeof TRUSTED,
  maxBytes: number,
): string | undefined {
  if (!found.isFile()) return "found something else, want a regular file";
  const trouble = distrustOwner(found, owner, forbidden);
  if (trouble !== undefined) return trouble;
  if (found.nlink !== 1) return `found ${found.nlink} links to the file, want 1`;
  return found.size > maxBytes ? `found ${found.size} bytes, want at most ${maxBytes}` : undefined;
}
