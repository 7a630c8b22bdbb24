// Whole policy components from WebAssembly text, for tests of the guard, the meter and whatever runs their work: a core module with all
// that the world wants, whose parts the test replaces, wrapped as `module build` wraps one.

import { parse } from "@bytecodealliance/jco";
import { componentize } from "../../proxy/tools/module/componentize.ts";

export interface ModuleWat {
  /** Further fields of the module: types, tables, globals, functions, `start`. */
  readonly fields?: string;
  /** Limits of its memory. */
  readonly memory?: string;
  /** Each is the body of the function of that name. */
  readonly evaluate?: string;
  readonly configure?: string;
  readonly validateSettings?: string;
  readonly realloc?: string;
  readonly postEvaluate?: string;
}

const BUMP = `(local $at i32)
  (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
  (global.set $free (i32.add (local.get $at) (local.get 3)))
  (local.get $at)`;

/** An outcome of kind abstain with reason "fine", at 512. */
const ABSTAIN = `(i32.store8 (i32.const 512) (i32.const 2))
  (i32.store (i32.const 516) (i32.const 1024)) (i32.store (i32.const 520) (i32.const 4))
  (i32.const 512)`;

export async function coreFromWat(parts: ModuleWat): Promise<Uint8Array> {
  return parse(`(module
    ${parts.fields ?? ""}
    (memory (export "memory") ${parts.memory ?? "1 16"})
    (global $free (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) ${parts.realloc ?? BUMP})
    (func (export "validate_settings") (param i32 i32) (result i32) ${parts.validateSettings ?? "(i32.const 256)"})
    (func (export "configure") (param i32 i32) (result i32) ${parts.configure ?? "(i32.const 264)"})
    (func (export "evaluate") (param i32) (result i32) ${parts.evaluate ?? ABSTAIN})
    (func (export "post_validate_settings") (param i32) (global.set $free (i32.const 4096)))
    (func (export "post_configure") (param i32) (global.set $free (i32.const 4104)))
    (func (export "post_evaluate") (param i32) ${parts.postEvaluate ?? "(global.set $free (i32.const 4096))"})
    (data (i32.const 1024) "fine"))`);
}

export async function componentFromModuleWat(parts: ModuleWat): Promise<Uint8Array> {
  const component = componentize(await coreFromWat(parts));
  if (!component.ok) throw new Error(component.error);
  return component.value;
}
