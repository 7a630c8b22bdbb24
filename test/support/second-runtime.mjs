// Runs compiled policies in Node, that is in V8, through the host glue that jco makes. Plain JavaScript, because the Node
// of a stable distribution reads nothing else. Usage: node second-runtime.mjs CASES.json; prints the outcomes as JSON.
//
// CASES.json: { glue: path, policies: [{ core: path, calls: [{ request, caller }] }] }; numbers of 64 bits are texts.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { glue, policies } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { instantiate } = await import(pathToFileURL(glue).href);

const outcomes = policies.map(({ core, calls }) => {
  const module = new WebAssembly.Module(readFileSync(core));
  const { authorizer } = instantiate(
    () => module,
    {},
    (compiled) => new WebAssembly.Instance(compiled),
  );
  authorizer.configure(new Uint8Array());
  return calls.map(({ request, caller }) => {
    const { kind, reason, rule } = authorizer.evaluate(
      { ...request, uptimeSeconds: BigInt(request.uptimeSeconds), unixSeconds: BigInt(request.unixSeconds) },
      { ...caller, cgroupId: BigInt(caller.cgroupId) },
      undefined,
    );
    return { kind, reason, rule };
  });
});

console.log(JSON.stringify({ engine: process.versions.bun === undefined ? "v8" : "bun", outcomes }));
