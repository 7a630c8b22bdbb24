// What is pinned anywhere in the BPF file systems that this process sees, and how pins are removed. Opens what is pinned only to learn
// what it is; bounded, for anybody with the right to may fill a BPF file system.

import { closeSync, lstatSync, readdirSync, readFileSync, rmdirSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import type { KernelObjects } from "./kernel-objects.ts";
import { recordVersionOf } from "./layout.ts";

export interface Pin {
  readonly path: string;
  readonly kind: "map" | "link" | "program";
  readonly id: number;
}

const MAX_ENTRIES = 8_192;
const MAX_DEPTH = 6;

export function findPins(kernel: KernelObjects): readonly Pin[] {
  const found: Pin[] = [];
  const budget = { entries: MAX_ENTRIES };
  for (const mount of bpfMounts()) walk(kernel, mount, MAX_DEPTH, budget, found);
  return found;
}

/** Removes pins, then the folders that are empty by it: the layout's and the pin folder above it. */
export function unpin(pins: readonly Pin[]): void {
  const mounts = new Set(bpfMounts());
  const folders = new Set<string>();
  for (const { path } of pins) {
    if (!tried(() => unlinkSync(path))) continue;
    folders.add(dirname(path));
  }
  for (const folder of folders) {
    if (recordVersionOf(folder.slice(folder.lastIndexOf("/") + 1)) === undefined || mounts.has(folder)) continue;
    if (tried(() => rmdirSync(folder)) && !mounts.has(dirname(folder))) tried(() => rmdirSync(dirname(folder)));
  }
}

function bpfMounts(): readonly string[] {
  const lines = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const points = lines.flatMap((line) => {
    const [, point = "", type] = line.split(" ");
    return type === "bpf" ? [point.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))] : [];
  });
  // A file system that is mounted below another of its kind is reached twice; one path is enough for each pin.
  return [...new Set(points)].filter((point) => !points.some((other) => point.startsWith(`${other}/`)));
}

function walk(kernel: KernelObjects, folder: string, depth: number, budget: { entries: number }, found: Pin[]): void {
  for (const name of listed(folder)) {
    if (budget.entries-- <= 0) return;
    const path = join(folder, name);
    const there = lstatSync(path, { throwIfNoEntry: false });
    if (there?.isDirectory() === true) {
      if (depth > 0) walk(kernel, path, depth - 1, budget, found);
    } else if (there?.isFile() === true) {
      const pin = readPin(kernel, path);
      if (pin !== undefined) found.push(pin);
    }
  }
}

function readPin(kernel: KernelObjects, path: string): Pin | undefined {
  const opened = kernel.openAnyPin(path);
  if (opened === undefined) return undefined;
  const { kind, fd } = opened;
  const id = kind === "map" ? kernel.mapInfo(fd)?.id : kind === "link" ? kernel.linkInfo(fd)?.id : kernel.programId(fd);
  closeSync(fd);
  return id === undefined ? undefined : { path, kind, id };
}

function listed(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function tried(act: () => void): boolean {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}
