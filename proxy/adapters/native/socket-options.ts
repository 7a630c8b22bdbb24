// setsockopt(2) on sockets of the runtime, which has no call for it. Only what bounds memory; never what changes who may connect.

import { dlopen, ptr } from "bun:ffi";

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;

type SetOption = (descriptor: number, level: number, name: number, value: Int32Array, length: number) => number;
let setOption: SetOption | undefined;

/**
 * Bounds what the kernel keeps of unread bytes, and so what one read of the runtime brings: at most twice as much.
 * On a listening socket it holds for all connections accepted from it.
 * @returns false when the system refuses; reads are then as large as the runtime likes
 */
export function limitReceiveBuffer(descriptor: number, bytes: number): boolean {
  return setNumber(descriptor, SO_RCVBUF, bytes);
}

/** Bounds what the kernel takes of bytes that the peer does not read, about twice as much; inherited like the other. */
export function limitSendBuffer(descriptor: number, bytes: number): boolean {
  return setNumber(descriptor, SO_SNDBUF, bytes);
}

function setNumber(descriptor: number, name: number, bytes: number): boolean {
  setOption ??= loadSetOption();
  const value = new Int32Array([bytes]);
  return setOption(descriptor, SOL_SOCKET, name, value, value.byteLength) === 0;
}

function loadSetOption(): SetOption {
  const { symbols } = dlopen("libc.so.6", { setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" } });
  return (descriptor, level, name, value, length) => symbols.setsockopt(descriptor, level, name, ptr(value), length);
}
