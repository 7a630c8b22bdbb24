// A bare TCP peer for tests, as client or as scripted host. It speaks bytes and knows no HTTP, and shares no code with the engine.

import { createServer, connect as netConnect, type Server, type Socket } from "node:net";

/** One end of a TCP connection with all it has received. */
export class RawPeer {
  readonly socket: Socket;
  /** Received so far, latin1; empty when the peer only counts. */
  text = "";
  receivedBytes = 0;
  /** The other end sent FIN. */
  ended = false;
  /** The connection is gone: in good order, or by an error such as ECONNRESET. */
  readonly closed: Promise<"closed" | "reset">;
  readonly #waiting = new Set<() => void>();
  #gone = false;

  constructor(socket: Socket, keep: "keep" | "count" = "keep") {
    this.socket = socket;
    const { promise, resolve } = Promise.withResolvers<"closed" | "reset">();
    this.closed = promise;
    let failed = false;
    socket.on("data", (bytes: Buffer) => {
      this.receivedBytes += bytes.length;
      if (keep === "keep") this.text += bytes.toString("latin1");
      this.#wake();
    });
    socket.on("end", () => {
      this.ended = true;
      this.#wake();
    });
    socket.on("error", () => {
      failed = true;
    });
    socket.on("close", () => {
      this.#gone = true;
      resolve(failed ? "reset" : "closed");
      this.#wake();
    });
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  send(data: string | Buffer): void {
    this.socket.write(typeof data === "string" ? Buffer.from(data, "latin1") : data);
  }

  /** Sends FIN; receiving goes on. */
  finish(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Waits until what has been received satisfies the condition; fails when the connection ends before. */
  until(condition: (peer: RawPeer) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (condition(this)) resolve();
        else if (this.#gone)
          reject(new Error(`connection ended after ${this.receivedBytes} bytes: ${JSON.stringify(this.text.slice(0, 400))}`));
        else return;
        this.#waiting.delete(check);
      };
      this.#waiting.add(check);
      check();
    });
  }

  /** Waits for text and returns everything received so far. */
  async untilText(wanted: string): Promise<string> {
    await this.until((peer) => peer.text.includes(wanted));
    return this.text;
  }

  /** Waits for the FIN of the other end, answers with ours, and returns all that came. */
  async untilEnd(): Promise<string> {
    await this.until((peer) => peer.ended);
    this.finish();
    return this.text;
  }
}

export async function connectRaw(port: number, keep: "keep" | "count" = "keep"): Promise<RawPeer> {
  const socket = netConnect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const peer = new RawPeer(socket, keep);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", () => resolve());
    socket.once("error", reject);
  });
  return peer;
}

export interface RawHost extends AsyncDisposable {
  readonly port: number;
  /** In the order they were accepted. */
  readonly connections: readonly RawPeer[];
}

/** Listens as the host would; the script is called for each connection. */
export async function startRawHost(
  script: (connection: RawPeer, index: number) => void | Promise<void>,
  keep: "keep" | "count" = "keep",
): Promise<RawHost> {
  const connections: RawPeer[] = [];
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    const peer = new RawPeer(socket, keep);
    connections.push(peer);
    // A script that waits for more than comes ends with its connection.
    void (async () => script(peer, connections.length - 1))().catch(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("internal error: no port");
  return {
    port: address.port,
    connections,
    async [Symbol.asyncDispose]() {
      for (const { socket } of connections) socket.destroy();
      server.close();
    },
  };
}

/** A host that answers each request without a body (or with one of a known length) by the text the script gives. */
export function startAnsweringHost(answer: (request: string, index: number) => string): Promise<RawHost> {
  return startRawHost(async (connection) => {
    for (let at = 0, index = 0; ; index++) {
      await connection.until((peer) => peer.text.indexOf("\r\n\r\n", at) >= 0);
      const headEnd = connection.text.indexOf("\r\n\r\n", at) + 4;
      const length = Number(/\r\nContent-Length: (\d+)/i.exec(connection.text.slice(at, headEnd))?.[1] ?? 0);
      await connection.until((peer) => peer.text.length >= headEnd + length);
      connection.send(answer(connection.text.slice(at, headEnd + length), index));
      at = headEnd + length;
    }
  });
}
