// The simulator's flags: reads argv into settings, and says what each flag is for. Opens nothing but the rules file's text,
// which its caller hands in.

import { type ControlPlace, parseControlPlace } from "./control-server.ts";
import {
  type EndpointAddresses,
  HOST_ENDPOINTS,
  type HostEndpoint,
  type ListenAddress,
  type Parsed,
  parsed,
  refused,
} from "./host-model.ts";
import { parseListenAddress } from "./listen-address.ts";
import { changeSettings, DEFAULT_SETTINGS, type HostSettings } from "./settings.ts";

export const HELP = `usage: bun run host-simulator [OPTIONS]

Plays the Azure host for one virtual machine: WireServer, HostGAPlugin and IMDS, with the
secure channel of the Metadata Security Protocol. Checks the signature of every request.

What the host demands
  --wireserver MODE          disabled, audit or enforce (default enforce)
  --imds MODE                the same for IMDS (default enforce)
  --hostga MODE              the same for HostGAPlugin (default: as WireServer, like real hosts)
  --rules FILE               authorizationRules as JSON: {"imds": {"defaultAccess": ...}, ...}
  --version-of-channel V     1.0 or 2.0 (default 2.0)
  --date-tolerance SECONDS   how old a signed date may be (default 600)
  --clock-offset SECONDS     how far the host's clock is ahead, may be negative (default 0)

Where it listens (default: the real addresses, inside a sandbox)
  --wireserver-address A:P   instead of 168.63.129.16:80
  --hostga-address A:P       instead of 168.63.129.16:32526
  --imds-address A:P         instead of 169.254.169.254:80

Watching and steering
  --verbose                  print one line per request: who, what, verdict, status
  --control PLACE            take commands on a Unix socket (a path) or on 127.0.0.1:PORT
  --records N                requests remembered (default 10000)
  --help                     show this text

Try it without root:
  bun run host-simulator --verbose --imds audit --wireserver-address 127.0.0.1:18080 \\
      --hostga-address 127.0.0.1:32526 --imds-address 127.0.0.1:18081
  curl -H Metadata:true 'http://127.0.0.1:18081/metadata/instance?api-version=2021-02-01'
`;

export interface CommandLine {
  readonly help: boolean;
  readonly verbose: boolean;
  readonly addresses: Partial<EndpointAddresses>;
  readonly settings: HostSettings;
  readonly control: ControlPlace | undefined;
  readonly maxRecords: number;
}

const SETTING_OF_FLAG: Readonly<Record<string, keyof HostSettings>> = {
  "--wireserver": "wireserver",
  "--imds": "imds",
  "--hostga": "hostga",
  "--version-of-channel": "channelVersion",
  "--date-tolerance": "dateToleranceSeconds",
  "--clock-offset": "clockOffsetSeconds",
};

/**
 * Reads the flags, `--flag value` or `--flag=value`.
 * @param readText - reads a file named by a flag; may throw
 */
export function parseCommandLine(argv: readonly string[], readText: (path: string) => string): Parsed<CommandLine> {
  const changes: Record<string, unknown> = {};
  const addresses: Partial<Record<HostEndpoint, ListenAddress>> = {};
  let control: ControlPlace | undefined;
  let help = false;
  let verbose = false;
  let maxRecords = 10_000;

  const words = argv.flatMap((word) => (/^--[a-z-]+=/.test(word) ? splitOnce(word) : [word]));
  for (let i = 0; i < words.length; i++) {
    const flag = words[i] ?? "";
    if (flag === "--help" || flag === "-h") help = true;
    else if (flag === "--verbose" || flag === "-v") verbose = true;
    else {
      if (!isFlagWithValue(flag)) return refused(`cannot read option "${flag}": no such option, see --help`);
      const value = words[++i];
      if (value === undefined) return refused(`cannot read option "${flag}": its value is missing`);
      const setting = Object.hasOwn(SETTING_OF_FLAG, flag) ? SETTING_OF_FLAG[flag] : undefined;
      const endpoint = HOST_ENDPOINTS.find((name) => flag === `--${name}-address`);
      if (setting !== undefined) changes[setting] = settingValue(setting, value);
      else if (endpoint !== undefined) {
        const address = parseListenAddress(value);
        if (!address.ok) return address;
        addresses[endpoint] = address.value;
      } else if (flag === "--control") {
        const place = parseControlPlace(value);
        if (!place.ok) return place;
        control = place.value;
      } else if (flag === "--records") {
        maxRecords = Number(value);
        if (!/^\d{1,7}$/.test(value) || maxRecords < 1)
          return refused(`cannot read option "--records": found "${value}", want 1 to 9999999`);
      } else {
        const rules = readRules(value, readText);
        if (!rules.ok) return rules;
        changes.rules = rules.value;
      }
    }
  }
  const settings = changeSettings(DEFAULT_SETTINGS, changes);
  return settings.ok ? parsed({ help, verbose, addresses, settings: settings.value, control, maxRecords }) : settings;
}

function isFlagWithValue(flag: string): boolean {
  if (Object.hasOwn(SETTING_OF_FLAG, flag) || flag === "--rules" || flag === "--control" || flag === "--records") return true;
  return HOST_ENDPOINTS.some((name) => flag === `--${name}-address`);
}

function settingValue(setting: keyof HostSettings, value: string): unknown {
  return setting.endsWith("Seconds") && /^-?\d{1,10}$/.test(value) ? Number(value) : value;
}

function readRules(path: string, readText: (path: string) => string): Parsed<unknown> {
  try {
    return parsed<unknown>(JSON.parse(readText(path)));
  } catch (error) {
    return refused(`cannot read rules "${path}": ${error instanceof Error ? error.message : error}`);
  }
}

function splitOnce(word: string): string[] {
  const equals = word.indexOf("=");
  return [word.slice(0, equals), word.slice(equals + 1)];
}
