// IPv4 addresses as the kernel has them in its keys.

const DOT = 46;
const ZERO = 48;
const NINE = 57;

/** Writes a dotted IPv4 address in network order; false when it is none. */
export function writeAddress(view: DataView, offset: number, address: string): boolean {
  let part = 0;
  let digits = 0;
  let written = 0;
  for (let index = 0; index <= address.length; index += 1) {
    const code = index < address.length ? address.charCodeAt(index) : DOT;
    if (code === DOT) {
      if (digits === 0 || written === 4) return false;
      view.setUint8(offset + written, part);
      written += 1;
      part = 0;
      digits = 0;
      continue;
    }
    part = part * 10 + (code - ZERO);
    digits += 1;
    if (code < ZERO || code > NINE || part > 255 || digits > 3) return false;
  }
  return written === 4;
}
