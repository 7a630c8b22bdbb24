// Where log lines go: standard output (the journal), and two files when the config names a folder for them. Request lines have a
// file of their own, as the reference's users know it.

import {
  type Level,
  type LogLine,
  type LogOutput,
  makeLine,
  makeLog,
  renderJournalLine,
  renderTextLine,
} from "../../adapters/log/lines.ts";
import { openRollingFile, type RollingFile } from "../../adapters/log/rolling-file.ts";
import { type LineSink, makeDescriptorSink } from "../../adapters/log/sink.ts";
import type { Config, LogLevel } from "../../core/config.ts";
import type { Log } from "../../core/ports.ts";

export interface Logs {
  readonly log: Log;
  /** Takes lines from now on. */
  add(output: LogOutput): void;
  /** Lines that standard output could not take, since start. */
  dropped(): number;
  /** Reopens the log files. */
  reopen(): void;
  /** Resolves when all lines are written, or after a while: a disk that hangs must not keep the agent from ending. */
  flush(): Promise<void>;
}

const LEVEL_OF: Readonly<Record<LogLevel, Level>> = { Error: "error", Warn: "warn", Info: "info", Debug: "debug", Trace: "debug" };
const FLUSH_LIMIT_MS = 2_000;
const STANDARD_OUTPUT = 1;

export function levelOf(level: LogLevel): Level {
  return LEVEL_OF[level];
}

/** Lines about what callers did; all others are about the agent. */
export function isCallersLine({ event }: LogLine): boolean {
  return event.startsWith("request-") || event === "connection-refused";
}

/**
 * @param owner - user id that log folder and files must belong to
 * @param journal - standard output leads to the journal
 */
export function openLogs(config: Config, owner: number, journal: boolean, now: () => Date): Logs {
  const render = journal ? renderJournalLine : renderTextLine;
  let dropped = 0;
  const lost = (count: number) => makeLine("warn", "log-lines-dropped", { count }, now());
  const standardOutput = makeDescriptorSink(STANDARD_OUTPUT, (count) => {
    dropped += count;
    return render(lost(count));
  });
  const outputs: LogOutput[] = [{ threshold: levelOf(config.journalLogLevel), take: (line) => standardOutput.write(render(line)) }];
  const log = makeLog(outputs, now);
  const files = config.logFolder === "" ? [] : openFiles(config.logFolder);

  function openFiles(folder: string): readonly RollingFile[] {
    const file = (name: string) =>
      openRollingFile({
        ...{ folder, name, owner, now, renderLost: (count) => renderTextLine(lost(count)) },
        onTrouble(message) {
          if (message === undefined) log.info("log-file-ready", { path: `${folder}/${name}.log` });
          else log.warn("log-file-failed", { path: `${folder}/${name}.log`, message });
        },
      });
    const [agent, callers] = [file("ProxyAgent"), file("ProxyAgent.Connection")];
    const take = (line: LogLine) => (isCallersLine(line) ? callers : agent).write(renderTextLine(line));
    outputs.push({ threshold: levelOf(config.fileLogLevel), take });
    return [agent, callers];
  }

  return {
    log,
    add: (output) => {
      outputs.push(output);
    },
    dropped: () => dropped,
    reopen() {
      for (const file of files) file.reopen();
      log.info("log-files-reopened", { count: files.length });
    },
    flush: () => inTime(Promise.all([standardOutput, ...files].map((sink: LineSink) => sink.flush()))),
  };
}

async function inTime(work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FLUSH_LIMIT_MS);
  });
  await Promise.race([work, limit]);
  clearTimeout(timer);
}
