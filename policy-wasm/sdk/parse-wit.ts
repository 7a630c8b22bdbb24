// Reads the part of WIT that the policy contract is written in: one package with interfaces of records, enums and functions, and
// one world that exports. Anything else is an error with its line: bindings must never be made from a half-understood contract.

export const PRIMITIVES = ["bool", "u8", "u16", "u32", "u64", "string"] as const;
export type Primitive = (typeof PRIMITIVES)[number];

export type WitType =
  | { readonly kind: "primitive"; readonly name: Primitive }
  | { readonly kind: "list" | "option"; readonly element: WitType }
  | { readonly kind: "tuple"; readonly elements: readonly WitType[] }
  /** Undefined: `_`. */
  | { readonly kind: "result"; readonly ok: WitType | undefined; readonly error: WitType | undefined }
  | { readonly kind: "named"; readonly name: string };

interface Documented {
  readonly name: string;
  /** Lines of the `///` comment above it, joined; empty when there is none. */
  readonly docs: string;
}

export interface WitField extends Documented {
  readonly type: WitType;
}

export interface WitRecord extends Documented {
  readonly kind: "record";
  readonly fields: readonly WitField[];
}

export interface WitEnum extends Documented {
  readonly kind: "enum";
  readonly cases: readonly Documented[];
}

export type WitDefinition = WitRecord | WitEnum;

export interface WitFunction extends Documented {
  readonly parameters: readonly { readonly name: string; readonly type: WitType }[];
  readonly result: WitType;
}

export interface WitInterface extends Documented {
  readonly uses: readonly { readonly from: string; readonly names: readonly string[] }[];
  readonly definitions: readonly WitDefinition[];
  readonly functions: readonly WitFunction[];
}

export interface WitWorld extends Documented {
  readonly exports: readonly string[];
}

export interface WitPackage extends Documented {
  /** As in `1.0.0`. */
  readonly version: string;
  readonly interfaces: readonly WitInterface[];
  readonly worlds: readonly WitWorld[];
}

interface Token {
  readonly kind: "word" | "version" | "sign" | "end";
  readonly text: string;
  readonly line: number;
  readonly docs: string;
}

const TOKEN = /\/\/\/ ?([^\n]*)|\/\/[^\n]*|@(\d+\.\d+\.\d+)|([a-z][a-z0-9]*(?:-[a-z0-9]+)*)|(->|[{}()<>:;,.=_/])|(\n)|[ \t]+|(.)/gu;

function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let docs: string[] = [];
  const push = (kind: Token["kind"], found: string) => {
    tokens.push({ kind, text: found, line, docs: docs.join("\n") });
    docs = [];
  };
  for (const [, doc, version, word, sign, newline, unknown] of text.matchAll(TOKEN)) {
    if (doc !== undefined) docs.push(doc);
    else if (version !== undefined) push("version", version);
    else if (word !== undefined) push("word", word);
    else if (sign !== undefined) push("sign", sign);
    else if (newline !== undefined) line++;
    else if (unknown !== undefined) throw refuse(line, JSON.stringify(unknown), "a word or a sign of WIT");
  }
  push("end", "the end of the file");
  return tokens;
}

function refuse(line: number, found: string, wanted: string): Error {
  return new Error(`cannot read WIT: line ${line}: found ${found}, want ${wanted}`);
}

/** The package of a WIT file. Throws with the line of the first thing that it does not know, or a name that leads nowhere. */
export function parseWit(text: string): WitPackage {
  return new Parser(tokenize(text)).package();
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  package(): WitPackage {
    const { docs } = this.#word("package");
    const name = `${this.#name().text}${this.#sign(":").text}${this.#name().text}`;
    const version = this.#take("version", "a version, such as @1.0.0").text;
    this.#sign(";");
    const interfaces: WitInterface[] = [];
    const worlds: WitWorld[] = [];
    while (this.#next.kind !== "end") {
      if (this.#next.text === "interface") interfaces.push(this.#interface());
      else if (this.#next.text === "world") worlds.push(this.#world(interfaces));
      else throw this.#unexpected("interface or world");
    }
    return { name, docs, version, interfaces, worlds };
  }

  #interface(): WitInterface {
    const { docs } = this.#word("interface");
    const name = this.#name().text;
    const uses: { from: string; names: string[] }[] = [];
    const definitions: WitDefinition[] = [];
    const functions: WitFunction[] = [];
    const known = new Set<string>();
    this.#sign("{");
    while (!this.#skip("}")) {
      if (this.#next.text === "use") uses.push(this.#use(known));
      else if (this.#next.text === "record") definitions.push(this.#record(known));
      else if (this.#next.text === "enum") definitions.push(this.#enum(known));
      else if (this.#next.kind === "word") functions.push(this.#function(known));
      else throw this.#unexpected("use, record, enum or a function");
    }
    return { name, docs, uses, definitions, functions };
  }

  #use(known: Set<string>): { from: string; names: string[] } {
    this.#word("use");
    const from = this.#name().text;
    this.#sign(".");
    const names = this.#listed("{", "}", () => this.#name().text);
    this.#sign(";");
    for (const name of names) known.add(name);
    return { from, names };
  }

  #record(known: Set<string>): WitRecord {
    const { docs } = this.#word("record");
    const name = this.#define(known);
    const fields = this.#listed("{", "}", (): WitField => {
      const field = this.#name();
      this.#sign(":");
      return { name: field.text, docs: field.docs, type: this.#type(known) };
    });
    return { kind: "record", name, docs, fields };
  }

  #enum(known: Set<string>): WitEnum {
    const { docs } = this.#word("enum");
    const name = this.#define(known);
    const cases = this.#listed("{", "}", () => {
      const each = this.#name();
      return { name: each.text, docs: each.docs };
    });
    return { kind: "enum", name, docs, cases };
  }

  #function(known: ReadonlySet<string>): WitFunction {
    const { text: name, docs } = this.#name();
    this.#sign(":");
    this.#word("func");
    const parameters = this.#listed("(", ")", () => {
      const parameter = this.#name().text;
      this.#sign(":");
      return { name: parameter, type: this.#type(known) };
    });
    this.#sign("->");
    const result = this.#type(known);
    this.#sign(";");
    return { name, docs, parameters, result };
  }

  #world(interfaces: readonly WitInterface[]): WitWorld {
    const { docs } = this.#word("world");
    const name = this.#name().text;
    const exports: string[] = [];
    this.#sign("{");
    while (!this.#skip("}")) {
      this.#word("export");
      const { text, line } = this.#name();
      if (!interfaces.some((each) => each.name === text)) throw refuse(line, `"${text}"`, "an interface of this file");
      exports.push(text);
      this.#sign(";");
    }
    return { name, docs, exports };
  }

  #type(known: ReadonlySet<string>): WitType {
    const { text, line } = this.#name();
    const primitive = PRIMITIVES.find((each) => each === text);
    if (primitive !== undefined) return { kind: "primitive", name: primitive };
    if (text === "list" || text === "option") {
      this.#sign("<");
      const element = this.#type(known);
      this.#sign(">");
      return { kind: text, element };
    }
    if (text === "tuple") return { kind: "tuple", elements: this.#listed("<", ">", () => this.#type(known)) };
    if (text === "result") {
      const sides = this.#listed("<", ">", () => (this.#skip("_") ? undefined : this.#type(known)));
      if (sides.length !== 2) throw refuse(line, `result with ${sides.length} sides`, "result<_, error> or result<ok, error>");
      return { kind: "result", ok: sides[0], error: sides[1] };
    }
    if (!known.has(text)) throw refuse(line, `"${text}"`, "a type that stands before it");
    return { kind: "named", name: text };
  }

  #define(known: Set<string>): string {
    const { text, line } = this.#name();
    if (known.has(text)) throw refuse(line, `"${text}" twice`, "each name once");
    known.add(text);
    return text;
  }

  #listed<Item>(open: string, close: string, readItem: () => Item): Item[] {
    const items: Item[] = [];
    this.#sign(open);
    while (!this.#skip(close)) {
      items.push(readItem());
      if (!this.#skip(",")) {
        this.#sign(close);
        break;
      }
    }
    return items;
  }

  get #next(): Token {
    return this.#tokens[this.#at] ?? { kind: "end", text: "the end of the file", line: 0, docs: "" };
  }

  #skip(sign: string): boolean {
    const skipped = this.#next.text === sign;
    if (skipped) this.#at++;
    return skipped;
  }

  #take(kind: Token["kind"], wanted: string, text?: string): Token {
    const token = this.#next;
    if (token.kind !== kind || (text !== undefined && token.text !== text)) throw this.#unexpected(wanted);
    this.#at++;
    return token;
  }

  #word(text: string): Token {
    return this.#take("word", `"${text}"`, text);
  }

  #name(): Token {
    return this.#take("word", "a name");
  }

  #sign(text: string): Token {
    return this.#take("sign", `"${text}"`, text);
  }

  #unexpected(wanted: string): Error {
    return refuse(this.#next.line, `"${this.#next.text}"`, wanted);
  }
}
