// How the daemon starts itself to compile a large rule set. Not for people: `policy compile` is.

export const COMPILE_ITEM_COMMAND = "compile-item-for-daemon";

/** The command line of this very program; from a checkout, the runtime with the program's source. */
export function compileItemCommand(): readonly string[] {
  const compiled = import.meta.path.startsWith("/$bunfs/");
  return compiled ? [process.execPath, COMPILE_ITEM_COMMAND] : [process.execPath, `${import.meta.dir}/main.ts`, COMPILE_ITEM_COMMAND];
}
