// A string that the host wrote: UTF-8, valid until the call is over. Comparing does not copy; toString() does.
// @ts-ignore: decorator
@unmanaged
export class Text {
  get pointer(): usize {
    return <usize>load<u32>(changetype<usize>(this));
  }
  /** Length in bytes. */
  get bytes(): u32 {
    return load<u32>(changetype<usize>(this), 4);
  }
  /** True for the same text; `other` may hold any characters. */
  is(other: string): bool {
    return this.bytes == <u32>String.UTF8.byteLength(other) && this.startsWith(other);
  }
  startsWith(beginning: string): bool {
    const bytes = <usize>String.UTF8.byteLength(beginning);
    if (<usize>this.bytes < bytes) return false;
    const copy = __reserve(bytes, 1);
    String.UTF8.encodeUnsafe(changetype<usize>(beginning), beginning.length, copy);
    for (let i: usize = 0; i < bytes; i++) if (load<u8>(this.pointer + i) != load<u8>(copy + i)) return false;
    return true;
  }
  toString(): string {
    return String.UTF8.decodeUnsafe(this.pointer, <usize>this.bytes);
  }
}

/** Bytes that the host wrote, valid until the call is over; within `configure` for good. */
// @ts-ignore: decorator
@unmanaged
export class Bytes {
  get pointer(): usize {
    return <usize>load<u32>(changetype<usize>(this));
  }
  get length(): i32 {
    return load<i32>(changetype<usize>(this), 4);
  }
  // @ts-ignore: decorator
  @operator("[]")
  at(index: i32): u8 {
    if (<u32>index >= <u32>this.length) unreachable();
    return load<u8>(this.pointer + <usize>index);
  }
  /** As text. Bytes that are no UTF-8 are replaced: compare lengths when that matters. */
  toString(): string {
    return String.UTF8.decodeUnsafe(this.pointer, <usize>this.length);
  }
}

/** Writes a string as pointer and length. */
export function lowerText(text: string, at: usize): void {
  const bytes = <usize>String.UTF8.byteLength(text);
  const copy = __reserve(bytes, 1);
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, copy);
  store<u32>(at, <u32>copy);
  store<u32>(at, <u32>bytes, 4);
}

/** Writes `result<_, string>`: null is success. */
export function lowerError(error: string | null, at: usize): void {
  store<u8>(at, error === null ? 0 : 1);
  lowerText(error === null ? "" : error, at + 4);
}
