// A process of our own that hashes files, started when there is something to hash and ended when there was nothing for a while. A
// read that hangs cannot be taken back, but its process can be ended: so nothing that a file system does lasts longer than a limit.

import { err, ok, type Result } from "../../core/result.ts";
import { describeError } from "../../core/thrown.ts";
import { POOL_THREADS } from "../native/thread-pool.ts";

export interface HashProcessOptions {
  /** Starts {@link serveHashes} with the number of this process's descriptors. */
  readonly command: readonly string[];
  /** How long it may have nothing to do. */
  readonly idleMs: number;
}

export interface FileHash {
  readonly lengthBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

export interface HashProcess {
  /**
   * Hashes the file behind an open descriptor, which must stay open until `done` or `giveUp` ran.
   * @param done - called once, unless given up; with the reason when there is no hash
   * @returns gives up: the process is ended as soon as nobody else waits for it, and others get a new one
   */
  start(descriptor: number, maxBytes: number, done: (found: Result<FileHash, string>) => void): () => void;
  /** Ends the process, if there is one. For tests. */
  stop(): void;
}

type Done = (found: Result<FileHash, string>) => void;

interface Running {
  readonly child: Bun.Subprocess<"pipe", "pipe", "ignore">;
  readonly jobs: Map<string, Done>;
}

const ANSWER = /^(\d+) (?:ok (\d+) ([0-9a-f]{64})|failed (.*))$/;

export function makeHashProcess({ command, idleMs }: HashProcessOptions): HashProcess {
  let current: Running | undefined;
  let idle: ReturnType<typeof setTimeout> | undefined;
  let nextId = 0;

  function startChild(): Running {
    const child = Bun.spawn([...command], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "ignore",
      // Each file that hangs takes one of its threads.
      env: { UV_THREADPOOL_SIZE: String(POOL_THREADS), ...process.env },
    });
    // It must not keep the agent from ending.
    child.unref();
    const running: Running = { child, jobs: new Map() };
    void readAnswers(running);
    return running;
  }

  async function readAnswers(running: Running): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    try {
      for await (const chunk of running.child.stdout) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) takeAnswer(running, line);
      }
    } catch {
      // Like its end.
    }
    retire(running);
    for (const [id, done] of running.jobs) {
      running.jobs.delete(id);
      done(err("the process that hashes executables ended"));
    }
  }

  async function send(running: Running, line: string): Promise<void> {
    try {
      await running.child.stdin.write(line);
      await running.child.stdin.flush();
    } catch {
      // It has ended, and its output says so.
    }
  }

  function takeAnswer(running: Running, line: string): void {
    const [, id = "", length, sha256, failure] = ANSWER.exec(line) ?? [];
    const done = running.jobs.get(id);
    // Given up meanwhile.
    if (done === undefined) return;
    running.jobs.delete(id);
    afterJob(running);
    done(sha256 === undefined ? err(`cannot read the executable: ${failure}`) : ok({ lengthBytes: Number(length), sha256 }));
  }

  /** Gets no new jobs, and ends with the last that it has. */
  function retire(running: Running): void {
    if (current === running) current = undefined;
    if (running.jobs.size === 0) running.child.kill("SIGKILL");
  }

  /** Ends a retired process, or waits for more to do. */
  function afterJob(running: Running): void {
    if (running.jobs.size > 0) return;
    if (running !== current) running.child.kill("SIGKILL");
    else {
      clearTimeout(idle);
      idle = setTimeout(() => running.jobs.size === 0 && retire(running), idleMs);
      idle.unref();
    }
  }

  return {
    start(descriptor, maxBytes, done) {
      try {
        current ??= startChild();
      } catch (cause) {
        done(err(`cannot start the process that hashes executables: ${describeError(cause)}`));
        return () => {};
      }
      const running = current;
      const id = String(nextId++);
      running.jobs.set(id, done);
      void send(running, `${id} ${descriptor} ${maxBytes}\n`);
      return () => {
        if (running.jobs.delete(id)) retire(running);
      };
    },
    stop() {
      if (current !== undefined) retire(current);
    },
  };
}
