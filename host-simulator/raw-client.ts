// A client that sends exactly the given bytes and reads answers one by one. For tests of the simulator and through it.
// Its signing is a third, plain writing of the rules for ordinary requests: single headers, no odd queries.

import { createHmac } from "node:crypto";
import { connect, type Socket } from "node:net";
import type { ListenAddress } from "./host-model.ts";

export interface RawResponse {
  readonly status: number;
  readonly head: string;
  /** Names lower-cased; of a repeated name the last. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

export interface SigningKey {
  readonly guid: string;
  readonly hex: string;
}

export class RawClient {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #ended: { readonly error: string | undefined } | undefined;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake?.();
    });
    socket.on("end", () => this.#end(undefined));
    socket.on("error", (error) => this.#end("code" in error ? String(error.code) : error.message));
    socket.on("close", () => this.#end(undefined));
  }

  /** Rejects with the error code as message when the connection is refused. */
  static open({ address, port }: ListenAddress): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: address, port, allowHalfOpen: true });
      socket.once("error", (error) => reject(new Error("code" in error ? String(error.code) : error.message)));
      socket.once("connect", () => resolve(new RawClient(socket)));
    });
  }

  send(bytes: string | Uint8Array): void {
    this.#socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  endSending(): void {
    this.#socket.end();
  }

  get receivedBytes(): number {
    return this.#received.length;
  }

  /** The next answer, interim ones included. Rejects when the connection ends before it is whole. */
  async readResponse(bodiless = false): Promise<RawResponse> {
    let headEnd = this.#received.indexOf("\r\n\r\n");
    while (headEnd < 0) {
      await this.#more();
      headEnd = this.#received.indexOf("\r\n\r\n");
    }
    const head = this.#received.toString("latin1", 0, headEnd);
    const headers = new Map<string, string>();
    for (const line of head.split("\r\n").slice(1)) {
      const colon = line.indexOf(":");
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    const status = Number(head.split(" ")[1]);
    const length = bodiless || status === 304 || status < 200 ? 0 : Number(headers.get("content-length") ?? 0);
    while (this.#received.length < headEnd + 4 + length) await this.#more();
    const body = this.#received.subarray(headEnd + 4, headEnd + 4 + length);
    this.#received = this.#received.subarray(headEnd + 4 + length);
    return { status, head, headers, body };
  }

  /** Everything until the connection ends, and the error it ended with, if any. */
  async readUntilEnd(): Promise<{ readonly bytes: Buffer; readonly error: string | undefined }> {
    while (this.#ended === undefined) await this.#wait();
    return { bytes: this.#received, error: this.#ended.error };
  }

  close(): void {
    this.#socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #more(): Promise<void> {
    if (this.#ended !== undefined) throw new Error(`connection ended early: ${this.#ended.error ?? "closed"}`);
    await this.#wait();
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #end(error: string | undefined): void {
    if (this.#ended === undefined || (error !== undefined && this.#ended.error === undefined)) this.#ended = { error };
    this.#wake?.();
  }
}

export interface PlainRequest {
  readonly method?: string;
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** The bytes of a request; with a key it is signed the way the agent must do it. */
export function renderRequest(request: PlainRequest, key?: SigningKey, date = new Date().toUTCString()): string {
  const { method = "GET", target, body = "" } = request;
  const headers: Record<string, string> = { host: "h", ...request.headers };
  if (body !== "" && !("content-length" in headers)) headers["content-length"] = String(body.length);
  if (key !== undefined) {
    headers["x-ms-azure-host-claims"] = '{ "isRoot": "true"}';
    headers["x-ms-azure-host-date"] = date;
    headers["x-ms-azure-host-authorization"] = `Azure-HMAC-SHA256 ${key.guid} ${signatureOf(request, headers, key)}`;
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n${body}`;
}

function signatureOf(request: PlainRequest, headers: Readonly<Record<string, string>>, key: SigningKey): string {
  const [path, query] = request.target.split("?");
  const fields = Object.entries(headers)
    .map(([name, value]) => `${name.toLowerCase()}:${value.trim()}\n`)
    .sort();
  const text = `${request.method ?? "GET"}\n${request.body ?? ""}\n${fields.join("")}${path}\n${query?.split("&").sort().join("&") ?? ""}`;
  return createHmac("sha256", Buffer.from(key.hex, "hex")).update(text, "latin1").digest("hex");
}

/** Sends one request on a connection of its own and returns the whole answer. */
export async function ask(address: ListenAddress, request: PlainRequest, key?: SigningKey): Promise<RawResponse> {
  using client = await RawClient.open(address);
  client.send(renderRequest(request, key));
  return await client.readResponse(request.method === "HEAD");
}
