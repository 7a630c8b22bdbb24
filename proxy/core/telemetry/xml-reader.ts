// Parses the small XML documents of WireServer: elements, attributes, text. Strict and bounded: no document types, no entities
// but the five that XML names and characters by number. Errors name what was expected and never quote the document.

import { err, ok, type Result } from "../result.ts";

export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  /** Its own text, without that of its children. */
  readonly text: string;
}

export const MAX_XML_CHARACTERS = 1024 * 1024;
const MAX_DEPTH = 32;
const MAX_ELEMENTS = 20_000;

const NAME = String.raw`[A-Za-z_][\w.:-]{0,127}`;
const ATTRIBUTE = new RegExp(String.raw`\s+(${NAME})\s*=\s*(?:"([^"<]*)"|'([^'<]*)')`, "y");
const TOKEN = new RegExp(
  String.raw`<\?[^>]*\?>|<!--(?:(?!--)[^])*-->|<!\[CDATA\[((?:(?!\]\]>)[^])*)\]\]>|<\/(${NAME})\s*>|<(${NAME})|([^<]+)`,
  "y",
);
const TAG_END = /\s*(\/?)>/y;

interface Open {
  readonly name: string;
  readonly attributes: Map<string, string>;
  readonly children: XmlElement[];
  text: string;
}

/** @returns the root element, or in words why there is none */
export function parseXml(document: string): Result<XmlElement, string> {
  if (document.length > MAX_XML_CHARACTERS) return err("found a document that is too long");
  const root: Open = { name: "", attributes: new Map(), children: [], text: "" };
  const stack: Open[] = [root];
  let elements = 0;
  let at = document.startsWith("\ufeff") ? 1 : 0;
  while (at < document.length) {
    const current = stack.at(-1) ?? root;
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(document);
    if (token === null) return err("found markup that is not well-formed XML");
    at = TOKEN.lastIndex;
    const [, section, closed, opened, text] = token;
    if (section !== undefined) current.text += section;
    else if (text !== undefined) {
      const decoded = decodeEntities(text);
      if (decoded === undefined) return err("found an unknown entity");
      if (current === root && decoded.trim() !== "") return err("found text outside of the root element");
      current.text += decoded;
    } else if (closed !== undefined) {
      if (stack.length < 2 || current.name !== closed) return err("found an end tag that does not fit");
      stack.pop();
    } else if (opened !== undefined) {
      if (++elements > MAX_ELEMENTS || stack.length > MAX_DEPTH) return err("found too many or too deep elements");
      const tag = readTag(document, at);
      if (tag === undefined) return err("found a tag that is not well-formed");
      at = tag.end;
      const element: Open = { name: opened, attributes: tag.attributes, children: [], text: "" };
      current.children.push(element);
      if (!tag.empty) stack.push(element);
    }
  }
  const [only, ...more] = root.children;
  if (stack.length !== 1 || only === undefined || more.length > 0) return err("found no single, closed root element");
  return ok(only);
}

function readTag(
  document: string,
  from: number,
): { readonly attributes: Map<string, string>; readonly empty: boolean; readonly end: number } | undefined {
  const attributes = new Map<string, string>();
  let at = from;
  for (;;) {
    ATTRIBUTE.lastIndex = at;
    const match = ATTRIBUTE.exec(document);
    if (match === null) break;
    const [, name = "", double, single] = match;
    const value = decodeEntities(double ?? single ?? "");
    if (value === undefined || attributes.has(name)) return undefined;
    attributes.set(name, value);
    at = ATTRIBUTE.lastIndex;
  }
  TAG_END.lastIndex = at;
  const end = TAG_END.exec(document);
  return end === null ? undefined : { attributes, empty: end[1] === "/", end: TAG_END.lastIndex };
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** Undefined when there is an undeclared entity. */
function decodeEntities(text: string): string | undefined {
  if (!text.includes("&")) return text;
  let known = true;
  const decoded = text.replace(/&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([a-z]{2,4}));|&/g, (_whole, hex, decimal, name) => {
    const code = hex !== undefined ? Number.parseInt(hex, 16) : decimal !== undefined ? Number(decimal) : undefined;
    const character = code === undefined ? ENTITIES[name ?? ""] : code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
    known &&= character !== undefined;
    return character ?? "";
  });
  return known ? decoded : undefined;
}

export function childOf(element: XmlElement | undefined, name: string): XmlElement | undefined {
  return element?.children.find((child) => child.name === name);
}

/** Walks down by the first child of each name. */
export function elementAt(element: XmlElement, ...names: readonly string[]): XmlElement | undefined {
  return names.reduce<XmlElement | undefined>(childOf, element);
}
