// How the daemon starts itself for work that must not be done in its own process. Not for people.

/** Compiles a large rule set; for people there is `policy compile`. */
export const COMPILE_ITEM_COMMAND = "compile-item-for-daemon";
/** Hashes executables of callers. */
export const HASH_FILES_COMMAND = "hash-files-for-daemon";

/** The command line of this very program with that first word; from a checkout, the runtime with the program's source. */
export function ownCommand(word: typeof COMPILE_ITEM_COMMAND | typeof HASH_FILES_COMMAND): readonly string[] {
  const compiled = import.meta.path.startsWith("/$bunfs/");
  return compiled ? [process.execPath, word] : [process.execPath, `${import.meta.dir}/../main.ts`, word];
}
