// Queries other programs and the listener, read-only and with a short limit each: packet filters, routes, our own health endpoint.

const LIMIT_MS = 400;
/** Where distributions keep tools of administrators, whatever PATH says. */
const SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
const MAX_OUTPUT_CHARACTERS = 8 * 1024 * 1024;

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program and gives what it said; undefined when there is no such program or it took too long. */
export async function ask(command: readonly [string, ...string[]]): Promise<Said | undefined> {
  const [name, ...rest] = command;
  const program = Bun.which(name, { PATH: SEARCH_PATH });
  if (program === null) return undefined;
  try {
    const child = Bun.spawn([program, ...rest], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { PATH: SEARCH_PATH, LC_ALL: "C" },
      timeout: LIMIT_MS,
      killSignal: "SIGKILL",
      maxBuffer: MAX_OUTPUT_CHARACTERS,
    });
    const [stdout, stderr, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    return child.signalCode === null ? { code, stdout, stderr } : undefined;
  } catch {
    return undefined;
  }
}

export type HealthAnswer = { readonly kind: "answers"; readonly status: number } | { readonly kind: "silent"; readonly why: string };

const HEALTH_REQUEST = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
const STATUS_LINE_CHARACTERS = 64;

/** Status of `GET /health` on 127.0.0.1, or in words why there is none. */
export async function askHealth(port: number): Promise<HealthAnswer> {
  const { promise, resolve } = Promise.withResolvers<HealthAnswer>();
  const timer = setTimeout(
    () => resolve({ kind: "silent", why: `accepts connections but does not answer within ${LIMIT_MS} ms` }),
    LIMIT_MS,
  );
  let text = "";
  let connection: { terminate(): void } | undefined;
  try {
    connection = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => void socket.write(HEALTH_REQUEST),
        data(_socket, bytes) {
          text += bytes.toString("latin1", 0, STATUS_LINE_CHARACTERS);
          const status = /^HTTP\/1\.[01] ([0-9]{3}) /.exec(text)?.[1];
          if (status !== undefined) resolve({ kind: "answers", status: Number(status) });
          else if (text.length >= STATUS_LINE_CHARACTERS) resolve({ kind: "silent", why: "what listens there does not speak HTTP" });
        },
        close: () => resolve({ kind: "silent", why: "it closed the connection without an answer" }),
        error: () => resolve({ kind: "silent", why: "it broke the connection" }),
      },
    });
    return await promise;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    return { kind: "silent", why: code === "ECONNREFUSED" ? "nobody listens" : code };
  } finally {
    clearTimeout(timer);
    connection?.terminate();
  }
}
