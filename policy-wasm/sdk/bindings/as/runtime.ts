// Memory of a policy module: a bump allocator that is emptied when a call is over. What was allocated while `configure` ran is kept.
// Given to asc by --runtime. There is no garbage collector: nothing outlives its call but what `configure` made.

const OBJECT_OVERHEAD: usize = 20;
const BLOCK_OVERHEAD: usize = 4;
const ALIGN_MASK: usize = 15;

// Both are set at the first use: a module whose own constants need no set-up then has no start function.
let floor: usize = 0;
let top: usize = 0;
let begun = false;

/** Memory until the call is over. */
// @ts-ignore: decorator
@unsafe @global
export function __reserve(bytes: usize, align: usize): usize {
  if (top == 0) floor = top = (__heap_base + ALIGN_MASK) & ~ALIGN_MASK;
  const start = (top + align - 1) & ~(align - 1);
  const end = start + bytes;
  if (start < top || end < start) unreachable();
  const have = <usize>memory.size() << 16;
  if (end > have && memory.grow(<i32>((end - have + 0xffff) >> 16)) < 0) unreachable();
  top = end;
  return start;
}

/** A call begins. What was allocated before the first one, by constants of the module, stays. */
// @ts-ignore: decorator
@unsafe @global
export function __begin(): void {
  if (begun) return;
  begun = true;
  __reserve(0, 1);
  floor = top;
}

/** The call is over. */
// @ts-ignore: decorator
@unsafe @global
export function __forget(): void {
  top = floor;
}

/** The call is over, and what it allocated stays. */
// @ts-ignore: decorator
@unsafe @global
export function __keep(): void {
  floor = top;
}

// What the compiler calls. A block is its size in 4 bytes and then the payload, which is aligned to 16.

// @ts-ignore: decorator
@unsafe @global
export function __alloc(size: usize): usize {
  if (top == 0) __reserve(0, 1);
  const payload = (top + BLOCK_OVERHEAD + ALIGN_MASK) & ~ALIGN_MASK;
  if (payload < top) unreachable();
  __reserve(payload - top, 1);
  __reserve(size, 1);
  store<u32>(payload - BLOCK_OVERHEAD, <u32>size);
  return payload;
}

// @ts-ignore: decorator
@unsafe @global
export function __realloc(pointer: usize, size: usize): usize {
  const had = <usize>load<u32>(pointer - BLOCK_OVERHEAD);
  if (size <= had) return pointer;
  if (pointer + had == top) {
    __reserve(size - had, 1);
    store<u32>(pointer - BLOCK_OVERHEAD, <u32>size);
    return pointer;
  }
  const fresh = __alloc(size > had << 1 ? size : had << 1);
  memory.copy(fresh, pointer, had);
  return fresh;
}

// @ts-ignore: decorator
@unsafe @global
export function __free(pointer: usize): void {}

// @ts-ignore: decorator
@unsafe @global
export function __new(size: usize, id: u32): usize {
  const block = __alloc(OBJECT_OVERHEAD - BLOCK_OVERHEAD + size);
  // gcInfo and gcInfo2 are never read; rtId and rtSize end the header.
  store<u32>(block, id, 8);
  store<u32>(block, <u32>size, 12);
  const object = block + OBJECT_OVERHEAD - BLOCK_OVERHEAD;
  memory.fill(object, 0, size);
  return object;
}

// @ts-ignore: decorator
@unsafe @global
export function __renew(old: usize, size: usize): usize {
  const header = OBJECT_OVERHEAD - BLOCK_OVERHEAD;
  const had = <usize>load<u32>(old - 4);
  const block = __realloc(old - header, header + size);
  store<u32>(block, <u32>size, 12);
  // Memory is used again after each call, and what grows must not show what was there.
  if (size > had) memory.fill(block + header + had, 0, size - had);
  return block + header;
}

// @ts-ignore: decorator
@unsafe @global
export function __link(parent: usize, child: usize, expectMultiple: bool): void {}

// @ts-ignore: decorator
@unsafe @global
export function __pin(pointer: usize): usize {
  return pointer;
}

// @ts-ignore: decorator
@unsafe @global
export function __unpin(pointer: usize): void {}

// @ts-ignore: decorator
@unsafe @global
function __visit(pointer: usize, cookie: u32): void {}

// @ts-ignore: decorator
@unsafe @global
export function __collect(): void {}
