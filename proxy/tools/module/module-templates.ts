// What `module new` starts from: the files of each language, made by scripts/build-policy.ts and part of the compiled binary.

import { readFileSync } from "node:fs";
import templatesPath from "../../../build/policy/module-templates.txt" with { type: "file" };

export interface TemplateFile {
  /** Below the module's folder. */
  readonly path: string;
  /** `@NAME@` stands for the module's name. */
  readonly text: string;
  readonly executable: boolean;
}

export type ModuleTemplates = Readonly<Record<"ts" | "as" | "c" | "rust", readonly TemplateFile[]>>;

export function readModuleTemplates(): ModuleTemplates {
  const path: string = templatesPath;
  // Our own build product.
  return JSON.parse(readFileSync(path, "utf8"));
}
