// Machine facts for telemetry: read once, from the system.

import { readFileSync } from "node:fs";
import { arch, availableParallelism, totalmem } from "node:os";
import type { MachineFacts } from "../../core/telemetry/document.ts";

const MIB = 1024 * 1024;

export function readMachineFacts(osReleasePath = "/etc/os-release"): MachineFacts {
  return {
    cpuArchitecture: arch() === "x64" ? "x86_64" : arch() === "arm64" ? "aarch64" : arch(),
    osVersion: readOsVersion(osReleasePath),
    ramMb: Math.round(totalmem() / MIB),
    processors: availableParallelism(),
  };
}

function readOsVersion(path: string): string {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch {
    // A system that does not say what it is.
  }
  const value = (name: string) => new RegExp(`^${name}=["']?([^"'\\n]{0,100})`, "m").exec(text)?.[1] ?? "Unknown";
  return `Linux:${value("NAME")}-${value("VERSION_ID")}`;
}
