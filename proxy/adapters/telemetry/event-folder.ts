// The folder of event files: events that overflow memory wait there, and extensions put theirs into it. Only root may be able to
// have written what is read; a file is removed once it was read, valid or not. Everything happens in the background.

import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, opendir, rename, unlink } from "node:fs/promises";
import { distrustFile, distrustOwner, TRUSTED } from "../../core/file-trust.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { GenericEvent, TelemetryEvent } from "../../core/telemetry/event.ts";
import { MAX_EVENT_FILE_BYTES, parseEventFile, parseExtensionEventFile, renderEventFiles } from "../../core/telemetry/event-file.ts";
import { describeError, errorCode } from "../../core/thrown.ts";

export interface EventFolder {
  /** Keeps events in a file of their own. An error when the folder is full or cannot be used. */
  keep(events: readonly GenericEvent[]): Promise<Result<void, string>>;
  /**
   * Reads files of one kind, oldest first, and removes them, until so many events are there; the rest is for the next time.
   * @param maxEvents - of all files together: a file that would exceed it stays
   */
  take(kind: EventFileKind, maxEvents: number): Promise<Result<TakenEvents, string>>;
}

export type EventFileKind = "kept" | "extension";

export interface TakenEvents {
  readonly events: readonly TelemetryEvent[];
  /** Files that were not used, with the reason; they are removed, or it says that they cannot be. */
  readonly refused: readonly { readonly name: string; readonly reason: string }[];
}

const NAMES: Readonly<Record<EventFileKind, RegExp>> = { kept: /^[0-9]{1,30}\.json$/, extension: /^extension_[0-9]{1,30}\.json$/ };
/** Read each time; only root can put more there. */
const MAX_ENTRIES = 10_000;
const MAX_FILES_AT_ONCE = 100;
const FILE_MODE = 0o640;
const FOLDER_MODE = 0o750;

/**
 * @param owner - the user id that folder and files must belong to
 * @param maxFiles - files of events kept by the agent
 * @param nowMs - wall clock, for names
 */
export function makeEventFolder(path: string, owner: number, maxFiles: number, nowMs: () => number): EventFolder {
  let lastName = 0;

  /** Runs with a path that leads below the folder that was checked. */
  async function inFolder<Value>(work: (below: (name: string) => string) => Promise<Value>): Promise<Result<Value, string>> {
    try {
      await mkdir(path, { recursive: true, mode: FOLDER_MODE });
      await using handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      const trouble = distrustOwner(await handle.stat(), owner, TRUSTED);
      if (trouble !== undefined) return err(`cannot use event folder "${path}": ${trouble}`);
      return ok(await work((name) => `/proc/self/fd/${handle.fd}/${name}`));
    } catch (error) {
      return err(`cannot use event folder "${path}": ${describeError(error)}`);
    }
  }

  async function writeWhole(below: (name: string) => string, text: string): Promise<void> {
    lastName = Math.max(nowMs(), lastName + 1);
    const temporary = below(`.${randomBytes(8).toString("hex")}.tmp`);
    const { O_WRONLY, O_CREAT, O_EXCL } = constants;
    const handle = await open(temporary, O_WRONLY | O_CREAT | O_EXCL, FILE_MODE);
    try {
      await handle.writeFile(text);
      // Nanoseconds, as the reference names its files.
      await rename(temporary, below(`${lastName}000000.json`));
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    } finally {
      await handle.close();
    }
  }

  async function list(below: (name: string) => string, wanted: RegExp): Promise<readonly string[]> {
    const names: string[] = [];
    let seen = 0;
    for await (const { name } of await opendir(below("."))) {
      if (++seen > MAX_ENTRIES) break;
      if (wanted.test(name)) names.push(name);
    }
    // Names are times: the shorter number is the smaller one.
    return names.sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  }

  return {
    async keep(events) {
      const kept = await inFolder<Result<void, string>>(async (below) => {
        const texts = renderEventFiles(events);
        const present = (await list(below, NAMES.kept)).length;
        if (present + texts.length > maxFiles)
          return err(`the event folder "${path}" has ${present} files, and ${maxFiles} is the most that may be`);
        for (const text of texts) await writeWhole(below, text);
        return ok(undefined);
      });
      return kept.ok ? kept.value : kept;
    },

    take: (kind, maxEvents) =>
      inFolder(async (below) => {
        const events: TelemetryEvent[] = [];
        const refused: { readonly name: string; readonly reason: string }[] = [];
        for (const name of (await list(below, NAMES[kind])).slice(0, MAX_FILES_AT_ONCE)) {
          if (events.length >= maxEvents) break;
          const read = await readEvents(below(name), kind, owner);
          if (read.ok && events.length + read.value.length > maxEvents && events.length > 0) break;
          // What cannot be removed is not used either: it would come again every time.
          const removed = await unlink(below(name)).then(
            () => true,
            () => false,
          );
          if (!removed) refused.push({ name, reason: "it cannot be removed" });
          else if (read.ok) events.push(...read.value.slice(0, maxEvents));
          else refused.push({ name, reason: read.error });
        }
        return { events, refused };
      }),
  };
}

async function readEvents(path: string, kind: EventFileKind, owner: number): Promise<Result<readonly TelemetryEvent[], string>> {
  let bytes: Uint8Array;
  try {
    // A pipe must not hold us, a link must not lead elsewhere.
    await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const found = await handle.stat();
    const trouble = distrustFile(found, owner, TRUSTED, MAX_EVENT_FILE_BYTES);
    if (trouble !== undefined) return err(trouble);
    const buffer = Buffer.alloc(found.size);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) break;
    }
    bytes = buffer.subarray(0, length);
  } catch (error) {
    return err(errorCode(error) ?? "unreadable");
  }
  if (kind === "kept") return parseEventFile(bytes);
  const event = parseExtensionEventFile(bytes);
  return event.ok ? ok([event.value]) : event;
}
