// Does an agent run on this VM? Any process that accepts connections where the agent listens is taken for it.

/** Resolves within the limit. Never rejects. */
export function isListening(hostname: string, port: number, limitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), limitMs);
    const settle = (listening: boolean) => {
      clearTimeout(timer);
      resolve(listening);
    };
    void Bun.connect({
      hostname,
      port,
      socket: {
        open(socket) {
          socket.terminate();
          settle(true);
        },
        data: () => undefined,
        connectError: () => settle(false),
      },
    }).catch(() => settle(false));
  });
}
