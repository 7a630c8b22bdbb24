// One listening socket of the simulator. Can close and reopen on the same port, so that a host can be down for a while.

import type { Socket, TCPSocketListener } from "bun";
import { HostConnection, type RequestSource } from "./connection.ts";
import type { ListenAddress } from "./host-model.ts";

export interface ListenerHooks {
  /** Called for each new connection; true resets it at once. */
  readonly accepted: () => boolean;
}

export class HostListener {
  readonly #source: RequestSource;
  readonly #hooks: ListenerHooks;
  readonly #open = new Set<HostConnection>();
  #address: ListenAddress;
  #listening: TCPSocketListener<HostConnection | undefined> | undefined;

  constructor(address: ListenAddress, source: RequestSource, hooks: ListenerHooks) {
    this.#address = address;
    this.#source = source;
    this.#hooks = hooks;
    this.#listen();
  }

  get address(): ListenAddress {
    return this.#address;
  }

  /** Stops or resumes accepting; connections that are open stay open. Throws when the port has been taken meanwhile. */
  setListening(wanted: boolean): void {
    if (wanted === (this.#listening !== undefined)) return;
    if (wanted) this.#listen();
    else {
      this.#listening?.stop(false);
      this.#listening = undefined;
    }
  }

  stop(): void {
    this.#listening?.stop(true);
    this.#listening = undefined;
    for (const connection of [...this.#open]) connection.abort();
    this.#open.clear();
  }

  #listen(): void {
    const { address, port } = this.#address;
    this.#listening = Bun.listen<HostConnection | undefined>({
      hostname: address,
      port,
      // A client may end its side after the request and still read the answer.
      allowHalfOpen: true,
      socket: {
        open: (socket) => this.#accept(socket),
        data: (socket, chunk) => guard(socket, (connection) => connection.onData(chunk)),
        drain: (socket) => guard(socket, (connection) => connection.onDrain()),
        end: (socket) => guard(socket, (connection) => connection.onEnd()),
        timeout: (socket) => socket.data?.abort(),
        error: (socket) => socket.data?.abort(),
        close: (socket) => {
          const connection = socket.data;
          if (connection === undefined) return;
          this.#open.delete(connection);
          connection.onClose();
        },
      },
    });
    this.#address = { address, port: this.#listening.port };
  }

  #accept(socket: Socket<HostConnection | undefined>): void {
    if (this.#hooks.accepted()) {
      socket.terminate();
      return;
    }
    socket.setNoDelay(true);
    const connection = new HostConnection(socket, this.#source);
    socket.data = connection;
    this.#open.add(connection);
  }
}

/** A bug met by one connection ends that connection, loudly, and no other. */
function guard(socket: Socket<HostConnection | undefined>, act: (connection: HostConnection) => void): void {
  const connection = socket.data;
  if (connection === undefined) return;
  try {
    act(connection);
  } catch (error) {
    console.error(`host simulator: internal error on a connection: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
    connection.abort();
  }
}
