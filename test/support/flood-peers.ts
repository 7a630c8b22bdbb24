// Peers of the engine in great number: a host that answers without end, and clients that take little of it or stop midway.
// On sockets of the runtime, which cost less than those of node:net and say how much was taken.

import { limitReceiveBuffer } from "../../proxy/adapters/native/socket-options.ts";

type Socket<T> = Bun.Socket<T> & { readonly fd: number };

export interface FloodHost extends Disposable {
  readonly port: number;
  readonly sentBytes: number;
}

interface HostConnection {
  answering: boolean;
  offset: number;
}

/** Answers every request with `head` and then `piece` over and over; with no piece it answers nothing and reads nothing more. */
export function startFloodHost(head: string, piece: Buffer | undefined): FloodHost {
  let sentBytes = 0;
  const pump = (socket: Bun.Socket<HostConnection>) => {
    const connection = socket.data;
    while (piece !== undefined && connection.answering) {
      const taken = socket.write(piece.subarray(connection.offset));
      if (taken <= 0) return;
      sentBytes += taken;
      const whole = connection.offset + taken === piece.length;
      connection.offset = whole ? 0 : connection.offset + taken;
      if (!whole) return;
    }
  };
  const listener = Bun.listen<HostConnection>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { answering: false, offset: 0 };
      },
      data(socket) {
        if (socket.data.answering) return;
        socket.data.answering = true;
        if (piece === undefined) socket.pause();
        else socket.write(head);
        pump(socket);
      },
      drain: pump,
      close() {},
      error() {},
    },
  });
  limitReceiveBuffer((listener as typeof listener & { readonly fd: number }).fd, 4096);
  return {
    port: listener.port,
    get sentBytes() {
      return sentBytes;
    },
    [Symbol.dispose]: () => listener.stop(true),
  };
}

/** A client that reads only when it is told to. */
export class SlowClient {
  receivedBytes = 0;
  /** What came, latin1, when it is kept. */
  text = "";
  closed = false;
  #socket: Socket<SlowClient> | undefined;
  #unsent: Buffer;

  private constructor(first: Buffer) {
    this.#unsent = first;
  }

  /** @param address - it comes from; says which user it is, see engine-process.ts */
  static async connect(address: string, port: number, first: string | Buffer, keepText = false): Promise<SlowClient> {
    const client = new SlowClient(Buffer.from(first));
    await Bun.connect<SlowClient>({
      hostname: "127.0.0.1",
      port,
      ...({ localAddress: address } as object),
      socket: {
        open(socket) {
          socket.data = client;
          client.#socket = socket as Socket<SlowClient>;
          if (!keepText) limitReceiveBuffer(client.#socket.fd, 4096);
          if (!keepText) socket.pause();
          client.#send();
        },
        data(socket, bytes) {
          client.receivedBytes += bytes.length;
          if (keepText) client.text += bytes.toString("latin1");
          else socket.pause();
        },
        drain: () => client.#send(),
        close() {
          client.closed = true;
        },
        error() {},
      },
    });
    return client;
  }

  #send(): void {
    const taken = this.#socket?.write(this.#unsent) ?? 0;
    if (taken > 0) this.#unsent = this.#unsent.subarray(taken);
  }

  /** Takes what one read brings, a few KiB, and stops again. */
  readOnce(): void {
    if (!this.closed) this.#socket?.resume();
  }

  /** Waits until the engine has closed or answered as wanted. */
  async until(condition: (client: SlowClient) => boolean): Promise<string> {
    while (!condition(this)) {
      if (this.closed) throw new Error(`connection ended after ${JSON.stringify(this.text.slice(0, 200))}`);
      await Bun.sleep(5);
    }
    return this.text;
  }

  close(): void {
    this.#socket?.terminate();
  }
}
