// How reading a component ends early. Thousands of small reads can each find something wrong, so inside this folder a refusal is thrown;
// `prepareComponent`, `describeComponent` and `tryRead` catch it and nothing else, and no other room ever sees it thrown.

import type { ComponentRefusal } from "./component-plan.ts";

export class Refused extends Error {
  readonly refusal: ComponentRefusal;

  constructor(refusal: ComponentRefusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/**
 * Ends reading.
 * @param offset - in the component file, whatever part of it is being read
 * @param problem - what was found and what was wanted; names quoted with {@link quote}
 */
export function refuse(kind: ComponentRefusal["kind"], offset: number, problem: string): never {
  throw new Refused({ kind, offset, message: `cannot use component: ${problem}, at offset ${offset}` });
}

const MAX_QUOTED = 80;

/** A text of the component as it may be shown: one line, plain ASCII, cut, in quotes. */
export function quote(text: string): string {
  const cut = text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text;
  const plain = cut.replace(/[^\x20-\x7e…]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return `"${plain.replaceAll('"', '\\"')}"`;
}

/** An opcode or another byte, as people look it up. */
export function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, "0")}`;
}
