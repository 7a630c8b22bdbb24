// A package that stands in for that of the reference agent: its name, paths, kind of unit and maintainer scripts, around a program that only
// holds the port. Made anew in each test.

import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { runProgram } from "./world.ts";

/** Served by the stand-in on 127.0.0.1:3080. */
export const STAND_IN_ANSWER = "the stand-in";

export const STAND_IN_CONFIG = `{
  "logFolder": "",
  "eventFolder": "/var/log/azure-proxy-agent/events",
  "latchKeyFolder": "/var/lib/azure-proxy-agent/keys",
  "monitorIntervalInSeconds": 60,
  "pollKeyStatusIntervalInSeconds": 15,
  "hostGAPluginSupport": 1,
  "ebpfProgramName": "ebpf_cgroup.o"
}
`;

const PROGRAM = `#!/usr/bin/python3
import http.server, sys
if "--version" in sys.argv: print("stand-in"); sys.exit(0)
if sys.argv[1:]: sys.exit(2)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"${STAND_IN_ANSWER}")
    def log_message(self, *arguments): pass
http.server.HTTPServer.allow_reuse_address = True
http.server.HTTPServer(("127.0.0.1", 3080), Handler).serve_forever()
`;

const UNIT = `[Unit]
Description=Proxy Agent
DefaultDependencies=no
After=local-fs.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=simple
ExecStart=/usr/sbin/azure-proxy-agent
Restart=always
RestartSec=5
StateDirectory=azure-proxy-agent
LogsDirectory=azure-proxy-agent

[Install]
WantedBy=multi-user.target
`;

// As debhelper writes them for one service.
const POSTINST = `#!/bin/sh
set -e
if [ "$1" = configure ] || [ "$1" = abort-upgrade ]; then
	deb-systemd-helper unmask azure-proxy-agent.service >/dev/null || true
	if deb-systemd-helper --quiet was-enabled azure-proxy-agent.service; then
		deb-systemd-helper enable azure-proxy-agent.service >/dev/null || true
	else
		deb-systemd-helper update-state azure-proxy-agent.service >/dev/null || true
	fi
	if [ -d /run/systemd/system ]; then
		systemctl --system daemon-reload >/dev/null || true
		if [ -n "$2" ]; then action=restart; else action=start; fi
		deb-systemd-invoke $action azure-proxy-agent.service >/dev/null || true
	fi
fi
`;

const PRERM = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then deb-systemd-invoke stop azure-proxy-agent.service >/dev/null || true; fi
`;

/**
 * Builds the package below `folder` and gives its path.
 * @param unitFolder - packages of before the merge of /usr have `lib/systemd/system`, which is the same folder
 */
export async function buildReferencePackage(folder: string, version: string, unitFolder: string): Promise<string> {
  const root = join(folder, `stand-in-${version}`);
  const architecture = (await runProgram(["dpkg", "--print-architecture"])).stdout.trim();
  const files: Readonly<Record<string, readonly [mode: number, text: string]>> = {
    "usr/sbin/azure-proxy-agent": [0o755, PROGRAM],
    [`${unitFolder}/azure-proxy-agent.service`]: [0o644, UNIT],
    "usr/lib/azure-proxy-agent/ebpf_cgroup.o": [0o644, "not ours"],
    "usr/share/doc/azure-proxy-agent/Cargo.lock": [0o644, ""],
    "etc/azure/proxy-agent.json": [0o644, STAND_IN_CONFIG],
    "DEBIAN/control": [
      0o644,
      `Package: azure-proxy-agent\nVersion: ${version}\nArchitecture: ${architecture}\nMaintainer: nobody <nobody@stand-in.invalid>\nDescription: stand-in\n`,
    ],
    "DEBIAN/conffiles": [0o644, "/etc/azure/proxy-agent.json\n"],
    "DEBIAN/postinst": [0o755, POSTINST],
    "DEBIAN/prerm": [0o755, PRERM],
  };
  for (const [name, [mode, text]] of Object.entries(files)) {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    writeFileSync(path, text);
    chmodSync(path, mode);
  }
  const path = join(folder, `azure-proxy-agent_${version}_${architecture}.deb`);
  const built = await runProgram(["dpkg-deb", "--root-owner-group", "-Znone", "--build", root, path]);
  if (built.code !== 0) throw new Error(`cannot build the stand-in's package: ${built.stderr}`);
  return path;
}
