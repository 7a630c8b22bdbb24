// `azure-proxy-agent module run`: what a module says to one request by one caller.

import { quote, wrap } from "../../core/text/text-layout.ts";
import { parseOptions } from "../options.ts";
import { fail, printJson, printLines, printNotes, refused, refuseUsage, TOOL_EXIT, tell } from "../output.ts";
import { onlyNamed, readUsableModule, USABLE_VALUES } from "./input.ts";
import { standingNotes } from "./module-standing.ts";
import { TriedModule } from "./module-trial.ts";
import { QUESTION_LISTS, QUESTION_TEXT, QUESTION_VALUES, readQuestion } from "./question.ts";
import { renderTrial, trialJson } from "./render-module-tests.ts";

export const RUN_USAGE = `azure-proxy-agent module run FILE|NAME --request TEXT --caller WHO [OPTION]...

Asks the component in FILE, checked and metered, or the installed module NAME about one request.

${QUESTION_TEXT}  --settings FILE   what it is configured with; an installed one has its own
  --fuel N, --memory N, --reason N   budgets, as in "module add"
  --config FILE     the agent's config
  --json            as JSON

Exit codes: 0 allow, 1 deny, or it failed, or the component is refused, 2 it could not be asked,
3 abstain, 64 usage, 78 bad config
`;

const ABSTAIN_EXIT = 3;

export async function moduleRun(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv, {
    values: [...USABLE_VALUES, ...QUESTION_VALUES],
    lists: QUESTION_LISTS,
    flags: ["--json"],
    operands: [1, 1],
  });
  if (!options.ok) return refuseUsage(options.error, RUN_USAGE);
  const asked = readQuestion(options.value);
  if (!asked.ok) return asked.error.usage ? refuseUsage(asked.error.message, RUN_USAGE) : fail(asked.error.message);
  const operand = options.value.operands[0] ?? "";
  const module = await readUsableModule(operand, options.value);
  if (!module.ok) return tell(module.error);
  const { compiled, budgets, settings, entry, componentSha256 } = module.value;
  const { question } = asked.value;
  const notes = entry === undefined ? asked.value.notes : [...asked.value.notes, ...standingNotes(entry, question.request.endpoint)];
  const headers = onlyNamed(question.headers, entry?.headers);
  const trial = new TriedModule(compiled, budgets, settings).ask({ ...question, headers });
  if (!trial.ok) return tell(refused(`cannot ask ${quote(operand)}: ${trial.error}`).error);
  if (options.value.has("--json")) printJson({ module: operand, sha256: componentSha256, ...trialJson(trial.value), notes });
  else {
    printNotes(notes);
    printLines([...wrap("", renderTrial(trial.value)), ...wrap("", `fuel ${trial.value.fuel} of ${budgets.fuel}`)]);
  }
  const kind = trial.value.answer?.kind;
  if (kind === "abstain") return ABSTAIN_EXIT;
  return kind === "allow" ? TOOL_EXIT.yes : TOOL_EXIT.no;
}
