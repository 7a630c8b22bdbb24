// The process of proxy/adapters/native/engine-options.test.ts: ensures the options and prints what it then is.

import { readFileSync } from "node:fs";
import { ensureEngineOptions } from "../../proxy/adapters/native/engine-options.ts";

const ensured = ensureEngineOptions();
const { BUN_JSC_useOMGJIT: omg, BUN_JSC_numberOfWasmCompilerThreads: threads, KEPT: kept } = process.env;
const inherited = process.argv[2] === "stdin" ? readFileSync(0, "utf8") : "";
process.stdout.write(JSON.stringify({ ensured, pid: process.pid, omg, threads, kept, words: process.argv.slice(2), inherited }));
