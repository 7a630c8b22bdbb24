// Identifies one process from the mount namespace in which it is started: prints the program found, as JSON.
// Usage: bun identify-once.ts PID

import { makeIdentify } from "../../proxy/adapters/proc/identify.ts";
import { pinnedRecord, programOf } from "./pinned-process.ts";

const identify = makeIdentify({ kernelProcessId: process.pid });
const caller = await identify(pinnedRecord(Number(process.argv[2])), "imds", { address: "127.0.0.1", port: 40_000 });
console.log(JSON.stringify(programOf(caller)));
// A look-up that still hangs must not hold the process.
process.exit(0);
