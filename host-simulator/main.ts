// The simulator as a program: `bun run host-simulator`. Reads flags, starts the host, prints where it is, ends cleanly on
// SIGTERM and SIGINT. Exit codes: 64 for a wrong flag, 1 when it cannot listen.

import { readFileSync } from "node:fs";
import { HELP, parseCommandLine } from "./command-line.ts";
import { type ControlServer, startControlServer } from "./control-server.ts";
import { HOST_ENDPOINTS } from "./host-model.ts";
import { renderRequestLine } from "./request-line.ts";
import { modeOf } from "./settings.ts";
import { type HostSimulator, startHostSimulator } from "./simulator.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 64;

async function main(argv: readonly string[]): Promise<void> {
  const line = parseCommandLine(argv, (path) => readFileSync(path, "utf8"));
  if (!line.ok) fail(line.message, EXIT_USAGE);
  if (line.value.help) {
    process.stdout.write(HELP);
    return;
  }
  const { addresses, settings, control, maxRecords, verbose } = line.value;
  const simulator = await startHostSimulator({
    addresses,
    settings,
    maxRecords,
    ...(verbose ? { onRequest: (record) => console.log(renderRequestLine(record)) } : {}),
  }).catch((error: unknown) => fail(textOf(error), EXIT_FAILED));
  let controlServer: ControlServer | undefined;
  if (control !== undefined) {
    try {
      controlServer = await startControlServer(simulator, control);
    } catch (error) {
      await simulator.stop();
      fail(textOf(error), EXIT_FAILED);
    }
  }
  announce(simulator, controlServer);
  const end = async (): Promise<void> => {
    await controlServer?.stop();
    await simulator.stop();
    process.exit(0);
  };
  process.once("SIGTERM", end);
  process.once("SIGINT", end);
}

function announce(simulator: HostSimulator, control: ControlServer | undefined): void {
  for (const endpoint of HOST_ENDPOINTS) {
    const { address, port } = simulator.addresses[endpoint];
    console.log(`${endpoint.padEnd(10)}  http://${address}:${port}  ${modeOf(simulator.settings(), endpoint)}`);
  }
  console.log(`secure channel ${simulator.channel().version}${control === undefined ? "" : `, control at ${control.place}`}`);
  console.log("ready");
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function fail(message: string, exitCode: number): never {
  process.stderr.write(`host-simulator: ${message}\n`);
  process.exit(exitCode);
}

await main(process.argv.slice(2));
