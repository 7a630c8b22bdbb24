// Compiles a rule set to a policy component: the prebuilt engine, the rule set's lookup tables as one more data segment, and the
// rule set itself in a custom section for people and tools. The same rule set always gives the same file; no jco is needed.

import { decode, Encoder } from "cbor-x/index-no-eval";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { RuleSet } from "../../core/rules/rules.ts";
import { planRules } from "../../core/rules/tables/rule-plan.ts";
import { type TableError, writeTables } from "../../core/rules/tables/rule-tables.ts";
import { TABLES_ADDRESS } from "../../core/rules/tables/table-layout.ts";
import { CORE_MODULE_SECTION, readSections, type Section, writeSections } from "../../core/wasm/sections.ts";
import { addDataSegment, type BinaryError, customSection, findCustomSection } from "../../core/wasm/wasm-binary.ts";
import { readEngineTemplate } from "./engine-artifact.ts";

export type CompileError = TableError | { readonly kind: "too-many-grants"; readonly limit: number };

/** One line for people. */
export function renderCompileError(error: CompileError): string {
  if (error.kind === "too-much-text")
    return `cannot compile rules: found ${error.foundBytes} bytes of text, want at most ${error.limitBytes}`;
  return `cannot compile rules: roles, privileges and identities come to more than ${error.limit} different grants`;
}

/** What the custom section holds, in CBOR. */
export interface CompiledRules {
  readonly version: 1;
  readonly endpoint: Endpoint;
  readonly rules: RuleSet;
}

export const RULES_SECTION = "azure-proxy-agent.rules";

/** Plain maps, no records or structures: any CBOR reader must be able to read them. */
const encoder = new Encoder({ useRecords: false, variableMapSize: true });

/**
 * The component file for one endpoint's rule set.
 * @returns the bytes; their SHA-256 is the policy id
 */
export function compilePolicy(rules: RuleSet, endpoint: Endpoint): Result<Uint8Array<ArrayBuffer>, CompileError> {
  const plan = planRules(rules);
  if (!plan.ok) return plan;
  const tables = writeTables(plan.value, rules.defaultAccess, endpoint);
  if (!tables.ok) return tables;
  const source: CompiledRules = { version: 1, endpoint, rules };
  return ok(assemble(tables.value, encoder.encode(source)));
}

/** The component of these tables. Exported for tests that damage tables on purpose. */
export function assemble(tables: Uint8Array, source: Uint8Array): Uint8Array<ArrayBuffer> {
  const sections = templateSections().map((section): Section => {
    if (section.id !== CORE_MODULE_SECTION) return section;
    return { id: section.id, content: expected(addDataSegment(section.content, TABLES_ADDRESS, tables)) };
  });
  return writeSections([...sections, customSection(RULES_SECTION, source)], "component");
}

/** The rule set that a component was compiled from; an error when it holds none. */
export function readCompiledRules(component: Uint8Array): Result<CompiledRules, BinaryError | { readonly kind: "no-rules-section" }> {
  const sections = readSections(component, "component");
  if (!sections.ok) return sections;
  const payload = findCustomSection(sections.value, RULES_SECTION);
  if (payload === undefined) return err({ kind: "no-rules-section" });
  try {
    const source: unknown = decode(payload);
    return isCompiledRules(source) ? ok(source) : err({ kind: "no-rules-section" });
  } catch {
    return err({ kind: "no-rules-section" });
  }
}

function isCompiledRules(source: unknown): source is CompiledRules {
  return typeof source === "object" && source !== null && "version" in source && source.version === 1 && "rules" in source;
}

let template: readonly Section[] | undefined;

function templateSections(): readonly Section[] {
  template ??= expected(readSections(readEngineTemplate(), "component"));
  return template;
}

/** The template is our own build product: when it is not what we built, that is our bug. */
function expected<Value>(result: Result<Value, BinaryError>): Value {
  if (result.ok) return result.value;
  throw new Error(`internal error: unusable engine template: ${JSON.stringify(result.error)}`);
}
