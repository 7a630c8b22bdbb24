// Where and how the meter changes a function body, as recorded while walking through it.

/** What the meter does at a place of a body. */
export const PATCH = { checkpoint: 0, chargeBytes: 1, chargeElements: 2, global: 3, chargeMemory: 4 } as const;

/** Changes of one body in file order: at `offsets[i]`, `kinds[i]` with `values[i]` (units, or the new number of a global). */
export class BodyPatches {
  readonly offsets: number[] = [];
  readonly kinds: number[] = [];
  readonly values: number[] = [];
  /** Where the instructions start, behind the locals. */
  codeStart = 0;
  localGroups = 0;
  /** Parameters and locals. */
  locals = 0;

  clear(): void {
    this.offsets.length = 0;
    this.kinds.length = 0;
    this.values.length = 0;
  }

  /** @returns its number, to set its value later */
  add(offset: number, kind: number, value: number): number {
    this.offsets.push(offset);
    this.kinds.push(kind);
    return this.values.push(value) - 1;
  }
}
