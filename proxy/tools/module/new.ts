// `azure-proxy-agent module new`: a folder with a policy module to start from, which builds and passes its cases as it stands.

import { quote } from "../../core/text/text-layout.ts";
import { parseOptions } from "../options.ts";
import { fail, printLines, refuseUsage, TOOL_EXIT } from "../output.ts";
import { readModuleTemplates, type TemplateFile } from "./module-templates.ts";
import { writeNewFolder } from "./new-folder.ts";

export const NEW_USAGE = `azure-proxy-agent module new --language ts|as|c|rust NAME [--folder FOLDER]

Makes a folder with a policy module to start from: source, cases, settings, the contract, bindings,
and a script "build" that makes policy.wasm. It builds and passes its cases as it stands.

  --language  ts    TypeScript, run by QuickJS inside the module: the most comfortable, the slowest
              as    AssemblyScript: like TypeScript, fast, with a library of its own
              c     C, by clang
              rust  Rust, by rustc alone
  --folder    where; it must not be there yet (default: a folder called NAME)

NAME is a-z, 0-9 and "-", at most 63, and begins with a letter or digit: the word for the module in
logs.

Exit codes: 0 made, 2 cannot be made, 64 usage
`;

export const LANGUAGES = ["ts", "as", "c", "rust"] as const;

export function moduleNew(argv: readonly string[]): number {
  const options = parseOptions(argv, { values: ["--language", "--folder"], flags: [], operands: [1, 1] });
  if (!options.ok) return refuseUsage(options.error, NEW_USAGE);
  const name = options.value.operands[0] ?? "";
  const asked = options.value.value("--language");
  const language = LANGUAGES.find((known) => known === asked);
  if (language === undefined)
    return refuseUsage(`--language wants one of ${LANGUAGES.join(", ")}${asked === undefined ? "" : `, found ${quote(asked)}`}`, NEW_USAGE);
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(name))
    return refuseUsage(`found ${quote(name)} as name, want a-z, 0-9 and "-", at most 63, a letter or digit first`, NEW_USAGE);
  const folder = options.value.value("--folder") ?? name;
  const files = readModuleTemplates()[language].map((file): TemplateFile => ({ ...file, text: file.text.replaceAll("@NAME@", name) }));
  const written = writeNewFolder(folder, files);
  if (!written.ok) return fail(`cannot make module ${quote(name)} in ${quote(folder)}: ${written.error}`);
  const paths = files.map(({ path }) => `  ${path}`).sort();
  printLines([
    `made ${quote(folder)}:`,
    ...paths,
    "",
    `next: cd ${folder} && ./build && azure-proxy-agent module test policy.wasm cases.json`,
  ]);
  return TOOL_EXIT.yes;
}
