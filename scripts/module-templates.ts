// Puts together what `azure-proxy-agent module new` writes: for each language the files of policy-wasm/templates, the contract and the
// bindings. Versions of npm packages are those that this repository is built and tested with.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { ModuleTemplates, TemplateFile } from "../proxy/tools/module/module-templates.ts";

const ROOT = dirname(import.meta.dir);
const TEMPLATES = join(ROOT, "policy-wasm/templates");
const BINDINGS = join(ROOT, "policy-wasm/sdk/bindings");
const WIT = join(ROOT, "policy-wasm/wit/policy.wit");

interface Language {
  readonly name: string;
  readonly source: string;
  /** Generated files and where they go. */
  readonly bindings: Readonly<Record<string, string>>;
  readonly needs: string;
  /** Further rules of conduct, as list items. */
  readonly more: string;
}

const AGENT = "`azure-proxy-agent` on the PATH, or its path in `AZURE_PROXY_AGENT`";

const LANGUAGES: Readonly<Record<keyof ModuleTemplates, Language>> = {
  ts: {
    name: "TypeScript, run by the QuickJS engine inside the component",
    source: "policy.ts",
    bindings: { "ts/policy.d.ts": "bindings/policy.d.ts" },
    needs: `Bun, or Node 20 or newer. \`./build\` fetches jco and tsc with npm, once. \`azure-proxy-agent\` only for tests.`,
    more: "* There is no clock, no console, no TextDecoder, no URL and no Intl: a call of one is a failure, and a failure is a deny.",
  },
  as: {
    name: "AssemblyScript",
    source: "policy.ts",
    bindings: {
      "as/policy.ts": "bindings/policy.ts",
      "as/exports.ts": "bindings/exports.ts",
      "as/runtime.ts": "bindings/runtime.ts",
    },
    needs: `Node or Bun, and ${AGENT}. \`./build\` fetches the compiler with npm, once.`,
    more: "* Memory is given back when a call is over: what `configure` made stays, what `evaluate` puts into a global is gone.",
  },
  c: {
    name: "C",
    source: "policy.c",
    bindings: { "c/policy.h": "bindings/policy.h", "c/policy.c": "bindings/policy.c" },
    needs: `clang and lld 14 or newer (Debian and Ubuntu: \`apt-get install clang lld\`), and ${AGENT}. No C library.`,
    more: "* Memory is given back when a call is over: what `policy_configure` allocated and was given stays, all else is gone.",
  },
  rust: {
    name: "Rust",
    source: "policy.rs",
    bindings: { "rust/bindings.rs": "bindings.rs" },
    needs:
      "rustc 1.63 or newer with the target wasm32-unknown-unknown (Debian and Ubuntu: `apt-get install rustc libstd-rust-dev-wasm32 lld`;\n" +
      `rustup: \`rustup target add wasm32-unknown-unknown\`), and ${AGENT}. No cargo, no crates.`,
    more: "* `evaluate` gets `&self`: what a policy knows it learned from its settings.",
  },
};

export function makeTemplates(): ModuleTemplates {
  return { ts: filesOf("ts"), as: filesOf("as"), c: filesOf("c"), rust: filesOf("rust") };
}

/** Every file that the templates are made of. */
export function templateInputs(): readonly string[] {
  const bindings = Object.values(LANGUAGES).flatMap((language) => Object.keys(language.bindings).map((path) => join(BINDINGS, path)));
  return [...filesBelow(TEMPLATES), ...bindings, WIT, join(ROOT, "package.json"), import.meta.path].sort();
}

function filesOf(key: keyof ModuleTemplates): readonly TemplateFile[] {
  const language = LANGUAGES[key];
  const own = ["all", key].flatMap((folder) =>
    filesBelow(join(TEMPLATES, folder)).map((path) => readTemplate(path, relative(join(TEMPLATES, folder), path), language)),
  );
  const bindings = Object.entries(language.bindings).map(([from, to]) => readTemplate(join(BINDINGS, from), to, language));
  return [...own, ...bindings, readTemplate(WIT, "wit/policy.wit", language)];
}

function readTemplate(from: string, path: string, language: Language): TemplateFile {
  const { name, source, needs, more } = language;
  const words = { LANGUAGE: name, SOURCE: source, NEEDS: needs, MORE: more, ...versions() };
  let text = readFileSync(from, "utf8");
  for (const [word, value] of Object.entries(words)) text = text.replaceAll(`@${word}@`, () => value);
  return { path, text, executable: (statSync(from).mode & 0o100) !== 0 };
}

function versions(): Readonly<Record<string, string>> {
  const json: { devDependencies: Record<string, string>; overrides: Record<string, string> } = JSON.parse(
    readFileSync(join(ROOT, "package.json"), "utf8"),
  );
  const pinned = {
    ASSEMBLYSCRIPT: json.devDependencies.assemblyscript,
    JCO: json.devDependencies["@bytecodealliance/jco"],
    TYPESCRIPT: json.devDependencies.typescript,
    PREVIEW2_SHIM: json.overrides["@bytecodealliance/preview2-shim"],
  };
  return Object.fromEntries(
    Object.entries(pinned).map(([word, version]) => {
      if (version === undefined) throw new Error(`cannot make module templates: package.json pins no version for ${word}`);
      return [word, version];
    }),
  );
}

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
