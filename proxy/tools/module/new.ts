// `azure-proxy-agent module new`: a folder with a policy module to start from, which builds and passes its cases as it stands.

import { isModuleName, MODULE_NAME_WANTED } from "../../core/modules/module-index.ts";
import { quote } from "../../core/text/text-layout.ts";
import { EXIT } from "../../exit-code.ts";
import type { Given } from "../command-line/spec.ts";
import { refuseUsage } from "../command-line/usage-error.ts";
import { fail, printLines } from "../output.ts";
import { readModuleTemplates, type TemplateFile } from "./module-templates.ts";
import { writeNewFolder } from "./new-folder.ts";
import { NEW } from "./table.ts";

export function moduleNew({ options: { language, folder: asked }, operands: [name = ""] }: Given<typeof NEW.options>): number {
  if (!isModuleName(name)) return refuseUsage(NEW.name, `NAME wants ${MODULE_NAME_WANTED}, found ${quote(name)}`);
  const folder = asked ?? name;
  const files = readModuleTemplates()[language].map((file): TemplateFile => ({ ...file, text: file.text.replaceAll("@NAME@", name) }));
  const written = writeNewFolder(folder, files);
  if (!written.ok) return fail("cannotCreate", `cannot make module ${quote(name)} in ${quote(folder)}: ${written.error}`);
  const paths = files.map(({ path }) => `  ${path}`).sort();
  printLines([
    `made ${quote(folder)}:`,
    ...paths,
    "",
    `next: cd ${folder} && ./build && azure-proxy-agent module test policy.wasm cases.json`,
  ]);
  return EXIT.ok;
}
