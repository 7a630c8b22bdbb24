// Finds the eBPF object and opens the redirector as configured.

import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { findCgroupRoot } from "../../adapters/ebpf/cgroup.ts";
import { type AttachedRedirector, openRedirector } from "../../adapters/ebpf/redirector.ts";
import type { Config } from "../../core/config.ts";
import { err, type Result } from "../../core/result.ts";

export function openKernelRedirector(
  config: Config,
  cgroup: ReturnType<typeof findCgroupRoot>,
  executablePath: string,
  listenerPort: number,
): Result<AttachedRedirector, string> {
  const objectFile = findObjectFile(config, executablePath);
  if (objectFile === undefined) {
    return err(
      `cannot find eBPF object "${config.ebpfProgramName}": looked in "/usr/lib/azure-proxy-agent" and "${dirname(executablePath)}"`,
    );
  }
  if (!cgroup.ok) return err(cgroup.error.message);
  const attached = openRedirector({
    objectFile,
    objectFileWithoutBtf: join(dirname(objectFile), `${basename(objectFile, ".o")}-nobtf.o`),
    cgroupPath: cgroup.value,
    listenerPort,
    passForeignNamespaces: config.passForeignNamespaces,
    pinFolder: config.pinFolder,
  });
  return attached.ok ? attached : err(attached.error.message);
}

function findObjectFile(config: Config, executablePath: string): string | undefined {
  if (config.ebpfFileFullPath !== undefined && existsSync(config.ebpfFileFullPath)) return config.ebpfFileFullPath;
  const places = [join("/usr/lib/azure-proxy-agent", config.ebpfProgramName), join(dirname(executablePath), config.ebpfProgramName)];
  return places.find((path) => existsSync(path));
}
