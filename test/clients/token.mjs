// @azure/identity as programs use it: asks for a token with the VM's identity and prints one line of JSON. The token itself is not shown.

import { ManagedIdentityCredential } from "@azure/identity";

const [clientId] = process.argv.slice(2);
const credential = clientId === undefined ? new ManagedIdentityCredential() : new ManagedIdentityCredential({ clientId });
const startedMs = performance.now();
const elapsed = () => Math.round(performance.now() - startedMs);
try {
  const { token, expiresOnTimestamp } = await credential.getToken("https://management.azure.com/.default");
  console.log(JSON.stringify({ tokenLength: token.length, expiresInFuture: expiresOnTimestamp > Date.now(), elapsedMs: elapsed() }));
} catch (error) {
  console.log(JSON.stringify({ error: `${error.name}: ${String(error.message).slice(0, 500)}`, elapsedMs: elapsed() }));
}
// Its timers would keep the process up for minutes.
process.exit(0);
