// `azure-proxy-agent report`: what rules deny, or would deny under enforce, from the status file or from request lines. Reads one
// file and needs no other right than that.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findConfig } from "../../adapters/storage/find-config.ts";
import { parseConfig } from "../../core/config.ts";
import { ENDPOINTS, type Endpoint, parseEndpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { DenialStatus } from "../../core/status/status.ts";
import { escapeForTerminal } from "../../core/text/terminal-text.ts";
import { EXIT } from "../../exit-code.ts";
import { readBoundedFile } from "../bounded-file.ts";
import { readLines } from "../input.ts";
import { readLogLine } from "../log-lines.ts";
import { renderLineCounts } from "../policy/render-suggestion.ts";
import { type DenialReport, makeLogReporter, readStatusReport, remedyFor, reportOf } from "./denial-report.ts";
import { isStale, renderDenialReport } from "./render-denials.ts";

export const REPORT_USAGE = `azure-proxy-agent report [OPTION]...

Tells which requests the rules deny, or would deny under enforce: who asked, what, how often, and which rule would allow it.

  --status FILE       the status to read (default: status.json in the status folder of the config)
  --config FILE       the config that names the status folder
  --from-log FILE     compute it from request lines instead; "-" is standard input
  --endpoint NAME     only imds, wireserver or hostga
  --json              print it as JSON

  journalctl -u azure-proxy-agent -o cat | azure-proxy-agent report --from-log -

Exit codes: 0 reported, 64 usage, 66 unreadable input
`;

interface Options {
  readonly status: string | undefined;
  readonly config: string | undefined;
  readonly fromLog: string | undefined;
  readonly endpoint: Endpoint | undefined;
  readonly json: boolean;
}

const MAX_STATUS_BYTES = 16 * 1024 * 1024;

/** @returns the exit code */
export function report(argv: readonly string[]): number {
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(REPORT_USAGE);
    return EXIT.ok;
  }
  const options = parseOptions(argv);
  if (!options.ok) return complain(`${options.error}\n\n${REPORT_USAGE.trimEnd()}`, EXIT.usage);
  const { endpoint, fromLog, json } = options.value;
  const source = fromLog ?? options.value.status ?? findStatus(options.value.config);
  const read = fromLog === undefined ? readStatus(source) : readLog(fromLog);
  if (!read.ok) return complain(`cannot report on "${escapeForTerminal(source)}": ${read.error}`, EXIT.noInput);
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
function findStatus(configPath: string | undefined): string {
  const path = configPath ?? findConfig();
  let folder = "/var/log/azure-proxy-agent";
  try {
    const parsed = parseConfig(readFileSync(path, "utf8"), process.env);
    if (parsed.ok) folder = parsed.value.config.statusFolder;
  } catch {
    // No config that may be read: the usual place.
  }
  return join(folder, "status.json");
}

function complain(message: string, code: number): number {
  process.stderr.write(`azure-proxy-agent: ${message}\n`);
  return code;
}

function parseOptions(argv: readonly string[]): Result<Options, string> {
  const found = new Map<string, string>();
  let json = false;
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--json") {
      json = true;
      continue;
    }
    if (!["--status", "--config", "--from-log", "--endpoint"].includes(word)) return err(`unknown argument "${escapeForTerminal(word)}"`);
    const value = argv[++i];
    if (value === undefined || value === "") return err(`${word} wants a value`);
    found.set(word, value);
  }
  const named = found.get("--endpoint");
  const endpoint = named === undefined ? undefined : parseEndpoint(named);
  if (named !== undefined && endpoint === undefined)
    return err(`--endpoint wants ${ENDPOINTS.join(", ")}, found "${escapeForTerminal(named)}"`);
  if (found.has("--from-log") && (found.has("--status") || found.has("--config"))) return err("--from-log and a status exclude each other");
  return ok({ status: found.get("--status"), config: found.get("--config"), fromLog: found.get("--from-log"), endpoint, json });
}
