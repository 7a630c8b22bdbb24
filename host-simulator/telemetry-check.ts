// Reads a telemetry document as the platform would, character by character and with code of its own: exact shape, sizes, escapes, types.
// Says what is wrong with the first thing that is.

export interface TelemetryDocument {
  readonly bytes: number;
  /** What is wrong with it; null: nothing. */
  readonly problem: string | null;
  /** Empty when something is wrong. */
  readonly events: readonly ReceivedEvent[];
}

export interface ReceivedEvent {
  readonly provider: string;
  readonly eventId: number;
  /** In the order received, values unescaped. */
  readonly params: readonly (readonly [name: string, value: string])[];
}

const LIMIT_BYTES = 65_536;
const UNESCAPED: Readonly<Record<string, string>> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'" };
const COMMON = ["KeywordName", "TenantName", "RoleName", "RoleInstanceName", "ContainerId", "ResourceGroupName", "SubscriptionId"];
const MACHINE = ["VMId", "ImageOrigin", "OSVersion", "RAM", "Processors"];

/** @param body - undefined when it was too long to be kept */
export function readTelemetryDocument(body: Uint8Array | undefined, bytes: number): TelemetryDocument {
  if (body === undefined || bytes >= LIMIT_BYTES) return { bytes, problem: `the document has ${bytes} bytes`, events: [] };
  try {
    return { bytes, problem: null, events: new Reader(new TextDecoder("utf-8", { fatal: true }).decode(body)).document() };
  } catch (error) {
    return { bytes, problem: error instanceof Error ? error.message : String(error), events: [] };
  }
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    for (const character of text) {
      const code = character.codePointAt(0) ?? 0;
      const allowed = code === 9 || code === 10 || code === 13 || (code >= 0x20 && code !== 0xfffe && code !== 0xffff);
      if (!allowed) throw new Error(`character U+${code.toString(16)} is not allowed in XML`);
    }
    this.#text = text;
  }

  document(): readonly ReceivedEvent[] {
    const events: ReceivedEvent[] = [];
    this.#want('<?xml version="1.0"?><TelemetryData version="1.0">');
    while (this.#take('<Provider id="')) {
      const provider = this.#until('">');
      if (!/^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/.test(provider)) throw new Error("a provider id is no GUID");
      while (this.#take('<Event id="')) {
        const eventId = Number(this.#until('">'));
        this.#want("<![CDATA[");
        const params = readParams(this.#until("]]>"));
        this.#want("</Event>");
        checkParams(params);
        events.push({ provider, eventId, params });
      }
      this.#want("</Provider>");
    }
    this.#want("</TelemetryData>");
    if (this.#at !== this.#text.length) throw new Error("something follows the document");
    if (events.length === 0) throw new Error("there is no event");
    return events;
  }

  #take(words: string): boolean {
    if (!this.#text.startsWith(words, this.#at)) return false;
    this.#at += words.length;
    return true;
  }

  #want(words: string): void {
    if (!this.#take(words)) throw new Error(`at ${this.#at}: want ${words}`);
  }

  #until(words: string): string {
    const end = this.#text.indexOf(words, this.#at);
    if (end < 0) throw new Error(`at ${this.#at}: want ${words} later`);
    const found = this.#text.slice(this.#at, end);
    this.#at = end + words.length;
    return found;
  }
}

function readParams(text: string): ReceivedEvent["params"] {
  const params: [string, string][] = [];
  let rest = text;
  while (rest !== "") {
    const match = /^<Param Name="([A-Za-z0-9]+)" Value="([^"'<>]*)" T="mt:(wstr|uint64|bool)" \/>/.exec(rest);
    if (match === null) throw new Error(`parameter ${params.length} is not as wanted`);
    const [whole, name = "", raw = "", type] = match;
    if (/&(?!(?:amp|lt|gt|quot|apos);)/.test(raw)) throw new Error(`${name} has an unescaped ampersand`);
    const value = raw.replace(/&[a-z]+;/g, (entity) => UNESCAPED[entity] ?? entity);
    if (type === "uint64" && !/^\d{1,20}$/.test(value)) throw new Error(`${name} is no number`);
    if (type === "bool" && value !== "True" && value !== "False") throw new Error(`${name} is neither True nor False`);
    if (params.some(([known]) => known === name)) throw new Error(`${name} comes twice`);
    params.push([name, value]);
    rest = rest.slice(whole.length);
  }
  return params;
}

/** What the platform needs to file an event under its machine. */
function checkParams(params: ReceivedEvent["params"]): void {
  const values = new Map(params);
  for (const name of [...COMMON, ...MACHINE, "EventPid", "EventTid", "GAVersion", "ExecutionMode", "TaskName", "OpcodeName"]) {
    if (!values.has(name)) throw new Error(`${name} is missing`);
  }
  const time = values.get("OpcodeName") ?? "";
  if (Number.isNaN(Date.parse(time))) throw new Error("OpcodeName is no time");
}
