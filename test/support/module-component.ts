// A small policy module for tests of the module commands. Its answer follows the method of the request: GET allows, HEAD denies,
// POST abstains, PUT never ends, DELETE answers nonsense, OPTIONS takes much fuel and allows, PATCH allows when the settings begin with
// "y". Settings that begin with "!" are refused, with words that would clear a terminal. It has real work in it, so that nothing is optimised away.

import { parse } from "@bytecodealliance/jco";
import { componentize } from "../../proxy/tools/module/componentize.ts";

const METHODS = { get: 0, head: 1, post: 2, put: 3, delete: 4, options: 5 } as const;

function answer(kind: number, reasonAt: number, reasonBytes: number): string {
  return `(i32.store8 (i32.const 512) (i32.const ${kind}))
    (i32.store (i32.const 516) (i32.const ${reasonAt})) (i32.store (i32.const 520) (i32.const ${reasonBytes}))
    (i32.store (i32.const 524) (i32.const 0)) (i32.store (i32.const 528) (i32.const 0))
    (i32.store (i32.const 532) (i32.const 0)) (i32.store (i32.const 536) (i32.const 0)) (return (i32.const 512))`;
}

function when(method: keyof typeof METHODS, then: string): string {
  return `(if (i32.eq (local.get $method) (i32.const ${METHODS[method]})) (then ${then}))`;
}

/** @param mark - a text inside it, so that two such modules differ; `fields`: further fields of its core module */
export async function sampleComponent(mark = "sample", fields = ""): Promise<Uint8Array> {
  const text = `(module
    (memory (export "memory") 1 16)
    (data (i32.const 1024) "fine") (data (i32.const 1040) "not-for-you") (data (i32.const 1060) "no-opinion")
    (data (i32.const 1080) "no exclamation\\1b[2J marks, please")
    (data (i32.const 1200) "${mark}")
    (global $first (mut i32) (i32.const 0))
    (global $next (mut i32) (i32.const 8192))
    (func (export "cabi_realloc") (param $old i32) (param i32) (param $align i32) (param $size i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      (local.set $old (global.get $next))
      (global.set $next (i32.add (global.get $next) (local.get $size)))
      (local.get $old))
    (func $check (param $at i32) (param $bytes i32) (result i32)
      (i32.store8 (i32.const 256) (i32.const 0))
      (if (i32.eqz (local.get $bytes)) (then (return (i32.const 256))))
      (global.set $first (i32.load8_u (local.get $at)))
      (if (i32.eq (global.get $first) (i32.const 33))
        (then (i32.store8 (i32.const 256) (i32.const 1)) (i32.store (i32.const 260) (i32.const 1080)) (i32.store (i32.const 264) (i32.const 32))))
      (i32.const 256))
    (func (export "validate_settings") (param i32 i32) (result i32) (call $check (local.get 0) (local.get 1)))
    (func (export "configure") (param i32 i32) (result i32) (call $check (local.get 0) (local.get 1)))
    (func (export "evaluate") (param $question i32) (result i32) (local $method i32) (local $n i32)
      (local.set $method (i32.load8_u offset=1 (local.get $question)))
      (global.set $next (i32.const 8192))
      ${when("get", answer(0, 1024, 4))}
      ${when("head", answer(1, 1040, 11))}
      ${when("post", answer(2, 1060, 10))}
      ${when("put", "(loop $ever (br $ever))")}
      ${when("delete", answer(7, 1024, 4))}
      ${when("options", `(local.set $n (i32.const 100000)) (loop $more (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) ${answer(0, 1024, 4)}`)}
      (if (i32.eq (global.get $first) (i32.const 121)) (then ${answer(0, 1024, 4)}))
      ${answer(1, 1040, 11)}
      (unreachable))
    (func (export "post_validate_settings") (param i32))
    (func (export "post_configure") (param i32))
    (func (export "post_evaluate") (param i32))
    ${fields})`;
  const made = componentize(await parse(text));
  if (!made.ok) throw new Error(made.error);
  return made.value;
}

/** Cases that hold for it. */
export const SAMPLE_CASES = {
  settingsCases: [
    { name: "marks", settings: { text: "!" }, error: "exclamation" },
    { name: "anything else", settings: { text: "x" } },
  ],
  cases: [
    { name: "get", request: "GET /metadata/instance", caller: "userName=alice", expect: "allow", reason: "fine" },
    { name: "head", request: "HEAD /metadata/instance", caller: "userName=alice", expect: "deny", reason: "not-for-you" },
    { name: "post", request: "POST /metadata/instance", caller: "userName=alice", expect: "abstain" },
    { name: "put", request: "PUT /metadata/instance", caller: "userName=alice", expect: "failed" },
    { name: "delete", request: "DELETE /metadata/instance", caller: "userName=alice", expect: "failed" },
    { name: "patch", request: "PATCH /metadata/instance", caller: "userName=alice", expect: "deny" },
    { name: "patch, allowed", request: "PATCH /x", caller: "userName=alice", settings: { text: "yes" }, expect: "allow" },
  ],
} as const;
