// The libc calls of this folder that Node does not have. None of them blocks.

import { loadKoffi } from "../native/koffi.ts";

export interface Libc {
  readonly socket: (family: number, type: number, protocol: number) => number;
  readonly bind: (fd: number, address: Uint8Array, length: number) => number;
  readonly listen: (fd: number, backlog: number) => number;
  readonly setsockopt: (fd: number, level: number, name: number, value: Uint8Array, length: number) => number;
  readonly getsockopt: (fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array) => number;
  readonly getsockname: (fd: number, address: Uint8Array, length: Uint8Array) => number;
  readonly sendto: (fd: number, text: Uint8Array, size: number, flags: number, address: Uint8Array, length: number) => number;
  readonly flock: (fd: number, operation: number) => number;
  readonly fcntl: (fd: number, command: number, type: "int", value: number) => number;
}

const DECLARATIONS = [
  "int socket(int family, int type, int protocol)",
  "int bind(int fd, const void *address, uint32_t length)",
  "int listen(int fd, int backlog)",
  "int setsockopt(int fd, int level, int name, const void *value, uint32_t length)",
  "int getsockopt(int fd, int level, int name, void *value, void *length)",
  "int getsockname(int fd, void *address, void *length)",
  "long sendto(int fd, const void *text, size_t size, int flags, const void *address, uint32_t length)",
  "int flock(int fd, int operation)",
  "int fcntl(int fd, int command, ...)",
] as const;

export const AF_UNIX = 1;
export const AF_INET = 2;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

let opened: Libc | undefined;

export function openLibc(): Libc {
  if (opened !== undefined) return opened;
  const library = loadKoffi().load("libc.so.6");
  const functions: Record<string, unknown> = {};
  for (const declaration of DECLARATIONS) functions[/(\w+)\(/.exec(declaration)?.[1] ?? ""] = library.func(declaration);
  opened = functions as unknown as Libc;
  return opened;
}

/** Name and text of the last failed call, such as `EADDRINUSE`. */
export function lastError(): { readonly code: string; readonly errno: number } {
  const koffi = loadKoffi();
  const errno = koffi.errno();
  const code = Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
  return { code, errno };
}
