// The types on the stack and the blocks that are open, while a function body is checked: the core specification's validation algorithm.

import { LIMITS } from "./core-limits.ts";
import { type FunctionType, sameTypes } from "./core-types.ts";
import { NO_TYPE } from "./opcodes.ts";
import { hex, refuse } from "./refuse.ts";

export const BLOCK = { block: 0, loop: 1, if: 2, else: 3, function: 4 } as const;
const EMPTY: FunctionType = { params: [], results: [] };

export class OperandStack {
  /** Of the instruction being checked, for refusals. */
  offset = 0;
  /** Number of the innermost open block; -1: the function has ended. */
  depth = -1;
  #stack = new Uint8Array(256);
  #height = 0;
  // One entry per open block, innermost last.
  readonly #kinds: number[] = [];
  readonly #types: FunctionType[] = [];
  readonly #heights: number[] = [];
  readonly #unreachable: boolean[] = [];
  readonly #checkpoints: number[] = [];
  /** Types that may still be compared: a few bytes of code can require thousands. */
  #comparisonsLeft = 0;

  /** Values on the stack, those of enclosing blocks included. */
  get height(): number {
    return this.#height;
  }

  begin(bodyBytes: number): void {
    this.depth = -1;
    this.#height = 0;
    this.#comparisonsLeft = LIMITS.comparisonsPerByte * bodyBytes + LIMITS.comparisonsPerBody;
  }

  /** Opens a block; its parameters are on the stack again. */
  open(kind: number, type: FunctionType, checkpoint: number): void {
    this.depth++;
    if (this.depth > LIMITS.nesting) refuse("limit", this.offset, `blocks are nested deeper than ${LIMITS.nesting}`);
    this.#kinds[this.depth] = kind;
    this.#types[this.depth] = type;
    this.#heights[this.depth] = this.#height;
    this.#unreachable[this.depth] = false;
    this.#checkpoints[this.depth] = checkpoint;
    this.pushAll(type.params);
  }

  turnToElse(): void {
    if (this.#kinds[this.depth] !== BLOCK.if) this.malformed("found else without if");
    const type = this.#closeTypes();
    this.#kinds[this.depth] = BLOCK.else;
    this.#unreachable[this.depth] = false;
    this.pushAll(type.params);
  }

  /** @returns the checkpoint that the block was opened with */
  close(): number {
    const type = this.#closeTypes();
    if (this.#kinds[this.depth] === BLOCK.if && !sameTypes(type.params, type.results)) {
      this.malformed("an if without else changes the stack");
    }
    const checkpoint = this.#checkpoints[this.depth] ?? -1;
    this.depth--;
    this.pushAll(type.results);
    return checkpoint;
  }

  /** The innermost block's results are there and nothing else. */
  #closeTypes(): FunctionType {
    const type = this.#types[this.depth] ?? EMPTY;
    this.popAll(type.results);
    if (this.#height !== this.#heights[this.depth]) this.malformed("a block leaves values that its type does not have");
    return type;
  }

  /** What a branch this many blocks out takes. */
  branchTypes(label: number): readonly number[] {
    const at = this.depth - label;
    const type = this.#types[at] ?? EMPTY;
    return this.#kinds[at] === BLOCK.loop ? type.params : type.results;
  }

  /** What the function returns. */
  returnTypes(): readonly number[] {
    return (this.#types[0] ?? EMPTY).results;
  }

  /** Behind a branch, a return or a trap. */
  stop(): void {
    this.#height = this.#heights[this.depth] ?? 0;
    this.#unreachable[this.depth] = true;
  }

  push(type: number): void {
    if (this.#height === this.#stack.length) {
      const larger = new Uint8Array(this.#height * 2);
      larger.set(this.#stack);
      this.#stack = larger;
    }
    this.#stack[this.#height++] = type;
  }

  /** Takes a value of this type, or of any; behind a branch that never returns, whatever is wanted is there. */
  pop(wanted: number): number {
    if (this.#height === (this.#heights[this.depth] ?? 0)) {
      if (this.#unreachable[this.depth] !== true) this.malformed("an operand is missing");
      return NO_TYPE;
    }
    const found = this.#stack[--this.#height] ?? NO_TYPE;
    if (found !== wanted && found !== NO_TYPE && wanted !== NO_TYPE)
      this.malformed(`an operand has type ${hex(found)}, want ${hex(wanted)}`);
    return found;
  }

  popAll(types: readonly number[]): void {
    this.#countComparisons(types);
    for (let i = types.length - 1; i >= 0; i--) this.pop(types[i] ?? NO_TYPE);
  }

  pushAll(types: readonly number[]): void {
    for (const type of types) this.push(type);
  }

  /** Takes the values and puts back what was there: a branch target must not make unknown types known. */
  peekAll(types: readonly number[]): void {
    this.#countComparisons(types);
    const taken: number[] = [];
    for (let i = types.length - 1; i >= 0; i--) taken.push(this.pop(types[i] ?? NO_TYPE));
    for (let i = taken.length - 1; i >= 0; i--) this.push(taken[i] ?? NO_TYPE);
  }

  #countComparisons(types: readonly number[]): void {
    this.#comparisonsLeft -= types.length;
    if (this.#comparisonsLeft < 0) refuse("limit", this.offset, "a function passes more values than its size explains");
  }

  malformed(problem: string): never {
    return refuse("malformed", this.offset, problem);
  }
}
