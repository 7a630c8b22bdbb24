// Memory of one call: a bump allocator behind the tables and their scratch space, emptied after every call.
// INVARIANT: nothing below `floor` is ever handed out, so arguments cannot overwrite the tables.

let floor: usize = 0;
let top: usize = 0;

/** Makes at least `end` bytes of memory exist; traps when the host does not give them. */
function reach(end: usize): void {
  const have = <usize>memory.size() << 16;
  if (end > have && memory.grow(<i32>((end - have + 0xffff) >> 16)) < 0) unreachable();
}

/** Everything from `start` on belongs to calls. */
export function startCallsAt(start: usize): void {
  reach(start);
  floor = start;
  top = start;
}

export function allocate(bytes: usize, align: usize): usize {
  const start = (top + align - 1) & ~(align - 1);
  const end = start + bytes;
  if (start < top || end < start) unreachable();
  reach(end);
  top = end;
  return start;
}

/** Forgets all that was allocated for the call that is over. */
export function endCall(): void {
  top = floor;
}

export function sameBytes(left: usize, right: usize, bytes: u32): bool {
  for (let i: usize = 0; i < <usize>bytes; i++) if (load<u8>(left + i) != load<u8>(right + i)) return false;
  return true;
}
