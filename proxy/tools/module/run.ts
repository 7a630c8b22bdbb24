// `azure-proxy-agent module run`: what a module says to one request by one caller.

import { quote, wrap } from "../../core/text/text-layout.ts";
import { EXIT } from "../../exit-code.ts";
import type { Given } from "../command-line/spec.ts";
import { printJson, printLines, printNotes, refused, tell } from "../output.ts";
import { onlyNamed, readUsableModule } from "./input.ts";
import { standingNotes } from "./module-standing.ts";
import { TriedModule } from "./module-trial.ts";
import { readQuestion } from "./question.ts";
import { renderTrial, trialJson } from "./render-module-tests.ts";
import { RUN } from "./table.ts";

export async function moduleRun({ options, operands: [operand = ""] }: Given<typeof RUN.options>): Promise<number> {
  const asked = readQuestion(RUN.name, options);
  if (!asked.ok) return tell(asked.error);
  const module = await readUsableModule(RUN.name, operand, options);
  if (!module.ok) return tell(module.error);
  const { compiled, budgets, settings, entry, componentSha256 } = module.value;
  const { question } = asked.value;
  const notes = entry === undefined ? asked.value.notes : [...asked.value.notes, ...standingNotes(entry, question.request.endpoint)];
  const headers = onlyNamed(question.headers, entry?.headers);
  const trial = new TriedModule(compiled, budgets, settings).ask({ ...question, headers });
  if (!trial.ok) return tell(refused(`cannot ask ${quote(operand)}: ${trial.error}`).error);
  if (options.json) printJson({ module: operand, sha256: componentSha256, ...trialJson(trial.value), notes });
  else {
    printNotes(notes);
    printLines([...wrap("", renderTrial(trial.value)), ...wrap("", `fuel ${trial.value.fuel} of ${budgets.fuel}`)]);
  }
  const kind = trial.value.answer?.kind;
  if (kind === "abstain") return EXIT.abstain;
  return kind === "allow" ? EXIT.ok : EXIT.no;
}
