// `azure-proxy-agent report`: what rules deny, or would deny under enforce, from the status file or from request lines. Reads one
// file and needs no other right than that.

import { join } from "node:path";
import { DEFAULT_STATUS_FOLDER } from "../../core/config.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { DenialStatus } from "../../core/status/status.ts";
import { escapeForTerminal } from "../../core/text/terminal-text.ts";
import { quote } from "../../core/text/text-layout.ts";
import { EXIT } from "../../exit-code.ts";
import { readBoundedFile } from "../bounded-file.ts";
import type { Given } from "../command-line/spec.ts";
import { readOptionalConfig } from "../config-file.ts";
import { readLines } from "../input.ts";
import { readLogLine } from "../log-lines.ts";
import { fail, type Tool, tell } from "../output.ts";
import { renderLineCounts } from "../policy/render-suggestion.ts";
import { type DenialReport, makeLogReporter, readStatusReport, remedyFor, reportOf } from "./denial-report.ts";
import { isStale, renderDenialReport } from "./render-denials.ts";
import type { REPORT } from "./table.ts";

const MAX_STATUS_BYTES = 16 * 1024 * 1024;

/** @returns the exit code */
export function report({ options }: Given<typeof REPORT.options>): number {
  const { endpoint, "from-log": fromLog, json } = options;
  const named = fromLog ?? options.status;
  const found = named === undefined ? findStatus(options.config) : ok(named);
  if (!found.ok) return tell(found.error);
  const source = found.value;
  const read = fromLog === undefined ? readStatus(source) : readLog(fromLog);
  if (!read.ok) return fail("noInput", `cannot report on ${quote(source)}: ${read.error}`);
  const shown = endpoint === undefined ? read.value.report : reportOf(read.value.report, endpoint);
  const nowMs = fromLog === undefined ? Date.now() : undefined;
  process.stdout.write(
    json ? renderJson(shown, source, nowMs) : `${read.value.note}${renderDenialReport(shown, escapeForTerminal(source), nowMs)}`,
  );
  return EXIT.ok;
}

interface Read {
  readonly report: DenialReport;
  /** Line for people about the input itself. */
  readonly note: string;
}

function readStatus(path: string): Result<Read, string> {
  const bytes = readBoundedFile(path, MAX_STATUS_BYTES);
  if (!bytes.ok) return bytes;
  const parsed = readStatusReport(Buffer.from(bytes.value).toString("utf8"));
  return parsed.ok ? ok({ report: parsed.value, note: "" }) : parsed;
}

function readLog(name: string): Result<Read, string> {
  const reporter = makeLogReporter();
  const counts = { lines: 0, requests: 0, foreign: 0, malformed: 0 };
  const read = readLines([name], (text) => {
    counts.lines++;
    const reading = text === undefined ? { kind: "malformed" as const } : readLogLine(text);
    if (reading.kind === "foreign") counts.foreign++;
    else if (reading.kind === "malformed") counts.malformed++;
    else {
      counts.requests++;
      reporter.add(reading.request);
    }
  });
  if (!read.ok) return err(read.error.cause);
  const empty = counts.requests === 0 ? "EMPTY: no request lines found; what follows says nothing about the requests\n" : "";
  return ok({ report: reporter.result(), note: `${renderLineCounts(counts)}\n${empty}` });
}

function renderJson(shown: DenialReport, source: string, nowMs: number | undefined): string {
  const withRemedies = (denials: DenialStatus) => ({
    ...denials,
    entries: denials.entries.map((entry) => ({ ...entry, remedy: remedyFor(entry) })),
  });
  const { writtenMs, guards, wouldDeny, denied, refusedForeignNamespace } = shown;
  const json = {
    source,
    written: writtenMs === undefined ? "" : new Date(writtenMs).toISOString(),
    stale: nowMs === undefined ? false : isStale(shown, nowMs),
    guards,
    wouldDeny: withRemedies(wouldDeny),
    denied: withRemedies(denied),
    ...(refusedForeignNamespace === undefined ? {} : { refusedForeignNamespace }),
  };
  return `${JSON.stringify(json, null, 2).split("\n").map(escapeForTerminal).join("\n")}\n`;
}

/** Where the agent writes its status: as its config says, else in the usual place. */
function findStatus(configPath: string | undefined): Tool<string> {
  const loaded = readOptionalConfig(configPath);
  if (!loaded.ok) return loaded;
  return ok(join(loaded.value?.config.statusFolder ?? DEFAULT_STATUS_FOLDER, "status.json"));
}
