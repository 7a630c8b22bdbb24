// `azure-proxy-agent doctor`: looks at everything the agent needs and does, says OK, WARN or FAIL for each and what to do. Read-only.

import { release } from "node:os";
import { dirname, join } from "node:path";
import { findCgroupRoot } from "../../adapters/ebpf/cgroup.ts";
import { describeBtfError, KERNEL_BTF, Libbpf } from "../../adapters/ebpf/libbpf.ts";
import { type LoadedConfig, readConfigFile } from "../../adapters/storage/config-file.ts";
import { readRuleFile } from "../../adapters/storage/rule-file.ts";
import { STATUS_FILE_NAME } from "../../adapters/storage/status-file.ts";
import { type Config, renderUnknownKey } from "../../core/config.ts";
import { SECRET, TRUSTED } from "../../core/file-trust.ts";
import { ENDPOINT_FACTS, ENDPOINTS } from "../../core/request/endpoint.ts";
import { LISTENER_ADDRESS, LISTENER_PORT } from "../../core/request/listener-address.ts";
import { parseLocalRules } from "../../core/rules/local-rules.ts";
import { escapeForTerminal } from "../../core/text/terminal-text.ts";
import { EXIT } from "../../exit-code.ts";
import { VERSION } from "../../version.ts";
import type { Given } from "../command-line/spec.ts";
import { printJson, printLines } from "../output.ts";
import { readListenerOwner } from "../status/listener-owner.ts";
import { ask, askHealth } from "./ask-system.ts";
import { readAttachedPrograms } from "./attached-programs.ts";
import { checkEach, checkFile, checkRuleFile } from "./check-files.ts";
import { checkKernel, type KernelFacts } from "./check-kernel.ts";
import { checkNetwork } from "./check-network.ts";
import { checkPrograms } from "./check-programs.ts";
import { checkStatus } from "./check-status.ts";
import { hashFile, lookAt, lookInto, readSmallText } from "./file-facts.ts";
import { broken, doubtful, type Finding, fine, renderFindings, worstOf } from "./finding.ts";
import type { DOCTOR } from "./table.ts";

const MAX_KEY_FILES = 64;
const RULE_FILES = ["IMDS_Rules.json", "WireServer_Rules.json"];
const BPF_FS_MAGIC = "bpf";

export async function doctor({ options }: Given<typeof DOCTOR.options>): Promise<number> {
  const findings = await examine(options.config);
  if (options.json) printJson({ version: VERSION, health: worstOf(findings), findings });
  else printLines(renderFindings(findings).map(escapeForTerminal));
  return worstOf(findings) === "fail" ? EXIT.no : EXIT.ok;
}

async function examine(named: string | undefined): Promise<readonly Finding[]> {
  const { finding, loaded } = checkConfig(named);
  const [kernel, network] = await Promise.all([examineKernel(), examineNetwork()]);
  if (loaded === undefined) return [...kernel, finding, ...network];
  const { config, path } = loaded;
  return [...kernel, finding, ...examinePrograms(config), ...network, ...examineFiles(config, path), ...examineStatus(config)];
}

function checkConfig(named: string | undefined): { readonly finding: Finding; readonly loaded: LoadedConfig | undefined } {
  const loaded = readConfigFile(named);
  if (!loaded.ok) {
    const { kind, message } = loaded.error;
    const advice =
      kind === "unusable" ? "mend the file, then restart the agent" : "install the package again, or name another file with --config";
    return { finding: broken("config", message, advice), loaded: undefined };
  }
  const { unknownKeys, path } = loaded.value;
  if (unknownKeys.length === 0) return { finding: fine("config", path), loaded: loaded.value };
  const found = unknownKeys.map((key) => renderUnknownKey(path, key)).join("; ");
  return { finding: doubtful("config", found, "a typing mistake? docs/operations.md lists the keys"), loaded: loaded.value };
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
