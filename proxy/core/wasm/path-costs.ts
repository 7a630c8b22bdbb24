// What each checkpoint of a function charges: the longest way through the code behind it, loops taken once. Entering the function
// pays for its longest way; each further round of a loop pays at the loop's head for the longest way through its body. So whatever
// runs was paid for before, and a branch that is not taken costs as if it had been.

/** Cost at a place that no way leads to. Far below zero, so that adding to it never makes it a real one. */
const DEAD = -(2 ** 48);
const NOBODY = -(2 ** 50);

export class PathCosts {
  /** Cost of the longest way from the function's start to here. */
  #here = 0;
  #depth = 0;
  // One entry per open block, innermost last.
  readonly #longest: number[] = [0];
  readonly #starts: number[] = [0];
  readonly #exits: number[] = [NOBODY];
  readonly #skips: number[] = [NOBODY];
  readonly #loops: number[] = [0];

  begin(): void {
    this.#depth = 0;
    this.#here = 0;
    this.#open(0, NOBODY);
  }

  add(cost: number): void {
    this.#here += cost;
  }

  enterBlock(): void {
    this.#depth++;
    this.#open(0, NOBODY);
  }

  enterLoop(): void {
    this.#depth++;
    this.#open(1, NOBODY);
  }

  enterIf(): void {
    this.#depth++;
    this.#open(0, this.#here);
  }

  #open(isLoop: number, skip: number): void {
    this.#longest[this.#depth] = this.#here;
    this.#starts[this.#depth] = this.#here;
    this.#exits[this.#depth] = NOBODY;
    this.#skips[this.#depth] = skip;
    this.#loops[this.#depth] = isLoop;
  }

  enterElse(): void {
    this.#noteLongest();
    const depth = this.#depth;
    this.#exits[depth] = Math.max(this.#exits[depth] ?? NOBODY, this.#here);
    this.#here = this.#skips[depth] ?? DEAD;
    this.#skips[depth] = NOBODY;
  }

  /** A way leads to the label this many blocks out. Back to a loop's head it ends: the next round is paid for there. */
  branch(labels: number): void {
    const target = this.#depth - labels;
    if (this.#loops[target] === 0) this.#exits[target] = Math.max(this.#exits[target] ?? NOBODY, this.#here);
  }

  /** Nothing continues behind a branch, a return or a trap. */
  stop(): void {
    this.#noteLongest();
    this.#here = DEAD;
  }

  /** @returns what entering the block that ends here costs, if it is a loop or the function */
  leave(): number {
    this.#noteLongest();
    const depth = this.#depth;
    const exit = Math.max(this.#exits[depth] ?? NOBODY, this.#skips[depth] ?? NOBODY);
    this.#here = Math.max(this.#here, exit);
    const longest = Math.max(this.#longest[depth] ?? 0, this.#here);
    if (depth > 0) {
      this.#depth = depth - 1;
      this.#longest[depth - 1] = Math.max(this.#longest[depth - 1] ?? 0, longest);
    }
    return Math.max(0, longest - (this.#starts[depth] ?? 0));
  }

  #noteLongest(): void {
    if (this.#here > (this.#longest[this.#depth] ?? 0)) this.#longest[this.#depth] = this.#here;
  }
}
