// One request on a fresh connection, to see whether somebody answers it well. Made to be asked many times a second while a
// program starts, so it does as little as possible.

export interface Target {
  readonly address: string;
  readonly port: number;
  /** Path and query. */
  readonly path: string;
}

const STATUS_END = "HTTP/1.1 200".length;
const LIMIT_MS = 2_000;

/** Did the target answer 200? False also when nobody listens there or the answer does not come in time. */
export function answersOk({ address, port, path }: Target): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), LIMIT_MS);
    const settle = (answered: boolean) => {
      clearTimeout(timer);
      resolve(answered);
    };
    let answer = "";
    Bun.connect({
      hostname: address,
      port,
      socket: {
        open: (socket) => {
          socket.write(`GET ${path} HTTP/1.1\r\nHost: ${address}\r\nMetadata: true\r\nConnection: close\r\n\r\n`);
        },
        data: (socket, bytes) => {
          answer += bytes.toString("latin1");
          if (answer.length < STATUS_END) return;
          settle(answer.startsWith("HTTP/1.1 200"));
          socket.end();
        },
        close: () => settle(false),
        error: () => settle(false),
        connectError: () => settle(false),
      },
    }).catch(() => settle(false));
  });
}
