// The idiom of each language for a fact that must be there. In a module built as its template builds it, a fact that is absent then ends the
// call with a trap, and a module that traps denies. An idiom that the compiler takes away would let an unknown caller pass.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PolicyQuestion } from "../../proxy/core/modules/policy-question.ts";
import { claimsOf } from "../support/claims.ts";
import { ModuleWorkshop } from "../support/module-build.ts";
import { prepareModule } from "../support/module-cases.ts";

interface Idiom {
  readonly language: "as" | "c" | "rust" | "ts";
  readonly file: string;
  /** Each is put where `evaluate` begins, and must trap alone. */
  readonly spellings: readonly string[];
  /** The line of the template that the spelling goes behind. */
  readonly behind: string;
}

const IDIOMS: readonly Idiom[] = [
  {
    language: "as",
    file: "policy.ts",
    behind: "export function evaluate(request: RequestView, caller: CallerView, soFar: OutcomeView | null): Outcome {",
    spellings: ["  assert(caller.userName !== null);", `  if (caller.userName!.is("root")) return new Outcome(OutcomeKind.Allow, "root");`],
  },
  {
    language: "c",
    file: "policy.c",
    behind:
      "policy_outcome policy_evaluate(const policy_request *request, const policy_caller *caller, const policy_outcome *so_far_or_null) {",
    spellings: ["\tPOLICY_MUST(caller->user_name.is_some);"],
  },
  {
    language: "rust",
    file: "policy.rs",
    behind: "    fn evaluate(&self, request: &Request, caller: &Caller, _so_far: Option<&Outcome>) -> Outcome {",
    spellings: ["        assert!(caller.user_name.get().is_some());", `        let _name = caller.user_name.text().expect("a user name");`],
  },
  {
    language: "ts",
    file: "policy.ts",
    behind: "  evaluate(request, caller) {",
    spellings: [`    if (caller.userName === null) throw new Error("a user name is wanted");`],
  },
];

const request = { endpoint: "imds", method: "GET", segments: ["x"], trailingSlash: false, query: [] } as const;

function question(userName: string | undefined): PolicyQuestion {
  return { request, claims: claimsOf({ userName }), headers: [], uptimeSeconds: 0, unixSeconds: 0, soFar: undefined };
}

let workshop: ModuleWorkshop;
beforeAll(() => {
  workshop = new ModuleWorkshop();
});
afterAll(() => workshop[Symbol.dispose]());

describe.each(IDIOMS.map((idiom) => [idiom.language, idiom] as const))("in %s", (language, { file, behind, spellings }) => {
  test.each(spellings.map((spelling, i) => [spelling.trim(), spelling, `${language}-${i}`] as const))(
    "T-152: %s denies a caller without the fact",
    async (_, spelling, folder) => {
      expect(workshop.agent("module", "new", "--language", language, folder)).toMatchObject({ exitCode: 0 });
      const source = join(workshop.folder, folder, file);
      const text = readFileSync(source, "utf8");
      expect(text).toContain(behind);
      writeFileSync(source, text.replace(behind, `${behind}\n${spelling}`));
      expect(workshop.build(folder)).toMatchObject({ exitCode: 0 });
      const start = await prepareModule(readFileSync(join(workshop.folder, folder, "policy.wasm")));
      const ask = (userName: string | undefined) => {
        const instance = start();
        expect(instance.configure(new Uint8Array())).toEqual({ ok: true, value: undefined });
        const answer = instance.evaluate(question(userName));
        return answer.ok ? answer.value.kind : answer.error.kind;
      };
      expect([ask("alice"), ask(undefined)]).toEqual(["abstain", "trapped"]);
    },
    240_000,
  );
});
