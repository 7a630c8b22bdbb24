// `azure-proxy-agent doctor`: looks at everything the agent needs and does, says OK, WARN or FAIL for each and what to do. Read-only.

import { release } from "node:os";
import { dirname, join } from "node:path";
import { findCgroupRoot } from "../../adapters/ebpf/cgroup.ts";
import { describeBtfError, KERNEL_BTF, Libbpf } from "../../adapters/ebpf/libbpf.ts";
import { DEFAULT_CONFIG_PATH } from "../../adapters/storage/find-config.ts";
import { readRuleFile } from "../../adapters/storage/rule-file.ts";
import { STATUS_FILE_NAME } from "../../adapters/storage/status-file.ts";
import { type Config, parseConfig, renderConfigError } from "../../core/config.ts";
import { ENDPOINT_FACTS, ENDPOINTS } from "../../core/request/endpoint.ts";
import { LISTENER_ADDRESS, LISTENER_PORT } from "../../core/request/listener-address.ts";
import { parseLocalRules } from "../../core/rules/local-rules.ts";
import { escapeForTerminal } from "../../core/text/terminal-text.ts";
import { EXIT } from "../../exit-code.ts";
import { VERSION } from "../../version.ts";
import { parseOptions } from "../options.ts";
import { printJson, printLines, refuseUsage } from "../output.ts";
import { readListenerOwner } from "../status/listener-owner.ts";
import { ask, askHealth } from "./ask-system.ts";
import { readAttachedPrograms } from "./attached-programs.ts";
import { checkEach, checkFile, checkRuleFile, SECRET, TRUSTED } from "./check-files.ts";
import { checkKernel, type KernelFacts } from "./check-kernel.ts";
import { checkNetwork } from "./check-network.ts";
import { checkPrograms } from "./check-programs.ts";
import { checkStatus } from "./check-status.ts";
import { hashFile, lookAt, lookInto, readSmallText } from "./file-facts.ts";
import { broken, doubtful, type Finding, fine, renderFindings, worstOf } from "./finding.ts";

const USAGE = `azure-proxy-agent doctor [--json] [--config FILE]

Looks at kernel, cgroup, programs, listener, files, packet filters, routes, status and clock. Changes nothing; takes less than a second.
Run it as root.

  --json         for programs: { "version", "health", "findings": [{ "check", "health", "found", "advice" }] }
  --config FILE  the daemon's config (default ${DEFAULT_CONFIG_PATH})

Exit codes: 0 nothing failed, 1 at least one FAIL, 64 usage
`;

const MAX_KEY_FILES = 64;
const RULE_FILES = ["IMDS_Rules.json", "WireServer_Rules.json"];
const BPF_FS_MAGIC = "bpf";

export async function doctor(argv: readonly string[]): Promise<number> {
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(USAGE);
    return EXIT.ok;
  }
  const options = parseOptions(argv, { values: ["--config"], flags: ["--json"], operands: [0, 0] });
  if (!options.ok) return refuseUsage(options.error, USAGE);
  const findings = await examine(options.value.value("--config") ?? DEFAULT_CONFIG_PATH);
  if (options.value.has("--json")) printJson({ version: VERSION, health: worstOf(findings), findings });
  else printLines(renderFindings(findings).map(escapeForTerminal));
  return worstOf(findings) === "fail" ? EXIT.failed : EXIT.ok;
}

async function examine(configPath: string): Promise<readonly Finding[]> {
  const { finding, config } = readConfig(configPath);
  const [kernel, network] = await Promise.all([examineKernel(), examineNetwork()]);
  if (config === undefined) return [...kernel, finding, ...network];
  return [...kernel, finding, ...examinePrograms(config), ...network, ...examineFiles(config, configPath), ...examineStatus(config)];
}

function readConfig(path: string): { readonly finding: Finding; readonly config: Config | undefined } {
  const text = readSmallText(path);
  if (text === undefined)
    return {
      finding: broken("config", `cannot read ${path}`, "install the package again, or name another file with --config"),
      config: undefined,
    };
  const parsed = parseConfig(text, process.env);
  if (!parsed.ok)
    return { finding: broken("config", renderConfigError(path, parsed.error), "mend the file, then restart the agent"), config: undefined };
  const { unknownKeys, config } = parsed.value;
  if (unknownKeys.length === 0) return { finding: fine("config", path), config };
  const names = unknownKeys.join(", ");
  return {
    finding: doubtful("config", `${path}: keys without effect: ${names}`, "a typing mistake? docs/operations.md lists the keys"),
    config,
  };
}

async function examineKernel(): Promise<readonly Finding[]> {
  const cgroup = findCgroupRoot();
  const libbpf = Libbpf.open();
  const mounts = (readSmallText("/proc/self/mounts") ?? "").split("\n").map((line) => line.split(" "));
  const machine = await ask(["uname", "-m"]);
  return checkKernel({
    release: release(),
    machine: machine?.stdout.trim() ?? process.arch,
    btf: readBtf(libbpf),
    lockdown: readSmallText("/sys/kernel/security/lockdown"),
    cgroup: cgroup.ok ? { ok: true, path: cgroup.value } : { ok: false, why: cgroup.error.message },
    cgroup1Controllers: mounts.flatMap(([, , type, tags]) => (type === "cgroup" ? (tags?.split(",") ?? []) : [])),
    bpffsMounted: mounts.some(([, , type]) => type === BPF_FS_MAGIC),
    libbpfTrouble: libbpf.ok ? undefined : libbpf.error.message,
    isRoot: process.geteuid?.() === 0,
  });
}

function readBtf(libbpf: ReturnType<typeof Libbpf.open>): KernelFacts["btf"] {
  if (lookAt(KERNEL_BTF).kind !== "file") return { kind: "missing" };
  const why = libbpf.ok ? describeBtfError(libbpf.value.readKernelBtf()) : undefined;
  return why === undefined ? { kind: "readable" } : { kind: "unreadable", why };
}

function examinePrograms(config: Config): readonly Finding[] {
  const root = findCgroupRoot();
  const path = config.cgroupRoot ?? (root.ok ? root.value : undefined);
  if (path === undefined) return [];
  const hooks = readAttachedPrograms(path);
  return checkPrograms(path, hooks.ok ? hooks.value : hooks.error.message);
}

async function examineNetwork(): Promise<readonly Finding[]> {
  const addresses = [...new Set(ENDPOINTS.map((endpoint) => ENDPOINT_FACTS[endpoint].address))];
  const [iptables, nft, listener, ...routes] = await Promise.all([
    ask(["iptables-save"]),
    ask(["nft", "-j", "list", "ruleset"]),
    askHealth(LISTENER_PORT),
    // Asks the kernel's tables only: no packet leaves.
    ...addresses.map((address) => ask(["ip", "-4", "-o", "route", "get", address])),
  ]);
  const owner = readListenerOwner(LISTENER_ADDRESS, LISTENER_PORT);
  const words = (index: number) => {
    const said = routes[index];
    if (said === undefined) return undefined;
    return { ok: said.code === 0, words: (said.code === 0 ? said.stdout : said.stderr).trim().split("\n")[0]?.replace(/\s+/g, " ") ?? "" };
  };
  return checkNetwork({
    iptables: iptables?.code === 0 ? iptables.stdout : undefined,
    nftables: nft?.code === 0 ? parseJson(nft.stdout) : undefined,
    routes: Object.fromEntries(addresses.map((address, index) => [address, words(index)])),
    listener,
    listenerOwner: owner.kind === "user" ? owner.uid : undefined,
  });
}

function examineFiles(config: Config, configPath: string): readonly Finding[] {
  const keys = lookInto(config.latchKeyFolder, ".key", MAX_KEY_FILES);
  const ruleFolder = join(dirname(config.latchKeyFolder), "rules");
  const program = { kind: "file", forbidden: TRUSTED, missing: "fail" } as const;
  return [
    checkFile(lookAt(process.execPath), { ...program, check: "program" }),
    checkFile(lookAt(configPath), { ...program, check: "config-mode" }),
    checkFile(lookAt(config.latchKeyFolder), { check: "key-folder", kind: "folder", forbidden: SECRET, missing: "warn" }),
    checkEach(
      "keys",
      "key files",
      keys.map((facts) => checkFile(facts, { check: "keys", kind: "file", forbidden: SECRET, missing: "fine" })),
    ),
    ...(config.pinFolder === ""
      ? []
      : [checkFile(lookAt(config.pinFolder), { check: "pins", kind: "folder", forbidden: SECRET, missing: "warn" })]),
    checkFile(lookAt(ruleFolder), { check: "rule-folder", kind: "folder", forbidden: TRUSTED, missing: "fine" }),
    ...RULE_FILES.map((name) => examineRuleFile(ruleFolder, name)),
  ];
}

function examineRuleFile(folder: string, name: string): Finding {
  const path = join(folder, name);
  const read = readRuleFile(folder, name, 0);
  if (!read.ok) return checkRuleFile(path, read.error);
  if (read.value === undefined) return checkRuleFile(path, "absent");
  const rules = parseLocalRules(read.value);
  return checkRuleFile(path, rules.ok ? undefined : `${path}: ${rules.error}`);
}

function examineStatus(config: Config): readonly Finding[] {
  const path = join(config.statusFolder, STATUS_FILE_NAME);
  const text = readSmallText(path);
  const status = text === undefined ? undefined : parseJson(text);
  return checkStatus({
    path,
    status,
    trouble: text === undefined ? "cannot be read" : status === undefined ? "is not JSON" : "",
    nowMs: Date.now(),
    ownVersion: VERSION,
    policyFiles: Object.fromEntries(ENDPOINTS.map((name) => [name, hashFile(join(config.statusFolder, `policy-${name}.wasm`))])),
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
