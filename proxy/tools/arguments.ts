// The command line of the daemon and of --status, in one reading: what is not known, given twice or does not go together is refused.

export type Command =
  | { readonly kind: "run"; readonly configPath: string | undefined; readonly console: boolean }
  | { readonly kind: "status"; readonly waitSeconds: number; readonly configPath: string | undefined }
  | { readonly kind: "version" }
  | { readonly kind: "help" }
  | { readonly kind: "bad"; readonly message: string };

export function parseArguments(argv: readonly string[]): Command {
  // Before everything else: whoever asks for the version gets it.
  if (argv.some((argument) => argument === "-v" || argument === "--version")) return { kind: "version" };
  if (argv.some((argument) => argument === "-h" || argument === "--help")) return { kind: "help" };
  const isConsole = argv[0] === "console";
  const given = new Map<string, string>();
  const rest = argv.slice(isConsole ? 1 : 0);
  for (let i = 0; i < rest.length; i++) {
    const [option = "", attached] = splitOption(rest[i] ?? "");
    const name = SHORT_FORMS[option] ?? option;
    if (!OPTIONS.includes(name)) return { kind: "bad", message: `unknown argument "${option}"` };
    if (given.has(name)) return { kind: "bad", message: `${name} is given twice` };
    if (name === "--status" && attached !== undefined) return { kind: "bad", message: "--status takes no value" };
    const value = name === "--status" ? "" : (attached ?? rest[++i]);
    if (value === undefined || (name === "--config" && value === ""))
      return { kind: "bad", message: name === "--config" ? "--config wants the path of a file" : WAIT_WANTED };
    given.set(name, value);
  }
  return isConsole || !given.has("--status") ? runCommandOf(given, isConsole) : statusCommandOf(given);
}

const OPTIONS = ["--config", "--status", "--wait"];
const SHORT_FORMS: Readonly<Record<string, string>> = { "-s": "--status", "-w": "--wait" };
const WAIT_WANTED = "--wait wants a whole number of seconds from 0 to 86400";

/** `--option=value` in its two parts. */
function splitOption(argument: string): readonly [option: string, value: string | undefined] {
  const at = argument.startsWith("--") ? argument.indexOf("=") : -1;
  return at < 0 ? [argument, undefined] : [argument.slice(0, at), argument.slice(at + 1)];
}

function parseWait(text: string): number | undefined {
  const seconds = /^[0-9]{1,5}$/.test(text) ? Number(text) : undefined;
  return seconds !== undefined && seconds <= 86_400 ? seconds : undefined;
}

function statusCommandOf(given: ReadonlyMap<string, string>): Command {
  const waitSeconds = parseWait(given.get("--wait") ?? "0");
  if (waitSeconds === undefined) return { kind: "bad", message: `${WAIT_WANTED}, found "${given.get("--wait")}"` };
  return { kind: "status", waitSeconds, configPath: given.get("--config") };
}

function runCommandOf(given: ReadonlyMap<string, string>, isConsole: boolean): Command {
  if (given.has("--status")) return { kind: "bad", message: "--status does not go with console" };
  if (given.has("--wait")) return { kind: "bad", message: "--wait goes with --status only" };
  return { kind: "run", configPath: given.get("--config"), console: isConsole };
}
