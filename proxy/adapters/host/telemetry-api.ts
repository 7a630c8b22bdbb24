// The agent's own calls for telemetry: the VM's identity, and posting a document. Each uses a new connection, bounded in
// time and size; none is retried here. Error texts never quote the host's answer.

import type { LatchedKey } from "../../core/channel/secure-channel.ts";
import type { SendToHost } from "../../core/ports.ts";
import type { HeaderField } from "../../core/request/http-message.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { parseGoalState, parseInstance, parseSharedConfig, type VmMetadata } from "../../core/telemetry/vm-metadata.ts";
import { type AgentCall, type AgentCallError, decodeReply, makeCallHost } from "./agent-call.ts";

export interface TelemetryApi {
  /** Reads goal state, shared config and instance metadata, signed when there is a key. */
  readVmMetadata(key: LatchedKey | undefined): Promise<Result<VmMetadata, AgentCallError>>;
  /** Posts a document, unsigned as the platform takes it. */
  sendDocument(xml: string): Promise<Result<void, AgentCallError>>;
}

const WIRE_VERSION: HeaderField = ["x-ms-version", "2012-11-30"];
const MAX_METADATA_BYTES = 1024 * 1024;

/** @param hostDate - now on the host's clock as an RFC 1123 date */
export function makeTelemetryApi(send: SendToHost, hostDate: () => string): TelemetryApi {
  const call = makeCallHost(send, hostDate);

  async function read<Value>(
    asked: Pick<AgentCall, "what" | "endpoint" | "target" | "own" | "key">,
    parse: (text: string) => Result<Value, string>,
  ): Promise<Result<Value, AgentCallError>> {
    const reply = await call({ method: "GET", maxResponseBytes: MAX_METADATA_BYTES, ...asked });
    if (!reply.ok) return reply;
    const { status } = reply.value.head;
    if (status < 200 || status > 299) return err({ message: `cannot ${asked.what}: found answer ${status}, want 2xx` });
    const text = decodeReply(reply.value);
    if (text === undefined) return err({ message: `cannot ${asked.what}: found bytes that are no text` });
    const value = parse(text);
    return value.ok ? value : err({ message: `cannot ${asked.what}: ${value.error}` });
  }

  return {
    async readVmMetadata(key) {
      const wire = { endpoint: "wireserver", own: [WIRE_VERSION], key } as const;
      const goal = await read({ what: "read goal state", target: "/machine?comp=goalstate", ...wire }, parseGoalState);
      if (!goal.ok) return goal;
      const { containerId, sharedConfigTarget } = goal.value;
      const shared = await read({ what: "read shared config", target: sharedConfigTarget, ...wire }, parseSharedConfig);
      if (!shared.ok) return shared;
      const instance = await read(
        {
          what: "read instance metadata",
          endpoint: "imds",
          target: "/metadata/instance?api-version=2018-02-01",
          own: [["Metadata", "true"]],
          key,
        },
        parseInstance,
      );
      return instance.ok ? ok({ containerId, ...shared.value, ...instance.value }) : instance;
    },

    async sendDocument(xml) {
      const reply = await call({
        what: "send telemetry",
        endpoint: "wireserver",
        method: "POST",
        target: "/machine/?comp=telemetrydata",
        own: [WIRE_VERSION, ["Content-Type", "text/xml; charset=utf-8"]],
        body: Buffer.from(xml, "utf8"),
      });
      if (!reply.ok) return reply;
      const { status } = reply.value.head;
      return status >= 200 && status <= 299 ? ok(undefined) : err({ message: `cannot send telemetry: found answer ${status}, want 2xx` });
    },
  };
}
