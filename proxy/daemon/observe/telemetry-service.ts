// Builds telemetry from the config and connects it to the log. Lines that callers cause stay on this machine: they name users and
// their requests, and a caller could fill the platform's store with them.

import { makeTelemetryApi } from "../../adapters/host/telemetry-api.ts";
import type { LogOutput } from "../../adapters/log/lines.ts";
import { makeEventFolder } from "../../adapters/telemetry/event-folder.ts";
import { readMachineFacts } from "../../adapters/telemetry/machine-facts.ts";
import type { Config } from "../../core/config.ts";
import type { SendToHost } from "../../core/ports.ts";
import { isCallersLine, levelOf } from "./log-outputs.ts";
import { makeTelemetry, type Telemetry, type TelemetryPorts } from "./telemetry.ts";

export interface TelemetryServicePorts extends Omit<TelemetryPorts, "api" | "folder" | "machine" | "processId" | "now"> {
  readonly send: SendToHost;
  readonly hostDate: () => string;
  readonly addLogOutput: (output: LogOutput) => void;
}

/** Undefined when the config switches telemetry off. */
export function makeTelemetryService(config: Config, ports: TelemetryServicePorts): Telemetry | undefined {
  if (!config.telemetry) return undefined;
  const owner = process.geteuid?.() ?? 0;
  const telemetry = makeTelemetry({
    ...ports,
    api: makeTelemetryApi(ports.send, ports.hostDate),
    folder: config.eventFolder === "" ? undefined : makeEventFolder(config.eventFolder, owner, config.maxEventFiles, Date.now),
    machine: readMachineFacts(),
    processId: process.pid,
    now: () => new Date(),
  });
  if (config.eventLevel !== undefined) {
    ports.addLogOutput({
      threshold: levelOf(config.eventLevel),
      take(line) {
        if (!isCallersLine(line))
          telemetry.add({ level: line.level.toUpperCase(), taskName: line.event, message: `${line.event} ${line.json}` });
      },
    });
  }
  return telemetry;
}
