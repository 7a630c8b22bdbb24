// `azure-proxy-agent module …` from the sources, for tests that run build scripts.
import { moduleComponentize } from "../../proxy/cli/module-componentize.ts";
import { moduleNew } from "../../proxy/cli/module-new.ts";

const [, tool, ...rest] = process.argv.slice(2);
process.exitCode = tool === "new" ? moduleNew(rest) : tool === "componentize" ? moduleComponentize(rest) : 64;
