// The host's key state: keys handed out, the one that is latched, and those that are not accepted any more.
// Key bytes leave this file only in the answer to acquire; nothing prints them.

import { randomBytes, randomUUID } from "node:crypto";

/** A key as the host issued it. */
export interface IssuedKey {
  readonly guid: string;
  readonly incarnationId: number;
  /** RFC 3339, UTC. */
  readonly issued: string;
  /** 32 bytes. */
  readonly bytes: Uint8Array;
}

export type KeyLookup =
  | { readonly kind: "latched"; readonly key: IssuedKey }
  | { readonly kind: "pending"; readonly key: IssuedKey }
  | { readonly kind: "superseded" }
  | { readonly kind: "unknown" };

const MAX_PENDING = 64;
const MAX_SUPERSEDED = 1000;
const SUPERSEDED: KeyLookup = { kind: "superseded" };
const UNKNOWN: KeyLookup = { kind: "unknown" };

export class SecureChannel {
  #incarnationId = 0;
  #latched: { readonly kind: "latched"; readonly key: IssuedKey } | undefined;
  readonly #pending = new Map<string, IssuedKey>();
  readonly #superseded = new Set<string>();

  get incarnationId(): number {
    return this.#incarnationId;
  }

  get latchedGuid(): string | null {
    return this.#latched?.key.guid ?? null;
  }

  get pendingKeys(): number {
    return this.#pending.size;
  }

  /** Hands out a fresh random key that waits to be attested. The oldest waiting key is forgotten when too many wait. */
  issue(nowMs: number): IssuedKey {
    const key: IssuedKey = {
      guid: randomUUID(),
      incarnationId: this.#incarnationId,
      issued: new Date(nowMs).toISOString(),
      bytes: randomBytes(32),
    };
    if (this.#pending.size >= MAX_PENDING) {
      const oldest = this.#pending.keys().next().value;
      if (oldest !== undefined) this.#pending.delete(oldest);
    }
    this.#pending.set(key.guid, key);
    return key;
  }

  find(guid: string): KeyLookup {
    if (this.#latched?.key.guid === guid) return this.#latched;
    const key = this.#pending.get(guid);
    if (key !== undefined) return { kind: "pending", key };
    return this.#superseded.has(guid) ? SUPERSEDED : UNKNOWN;
  }

  /** Makes a waiting key the latched one. The caller has checked the attestation's signature. False when no such key waits. */
  latch(guid: string): boolean {
    if (this.#latched?.key.guid === guid) return true;
    const key = this.#pending.get(guid);
    if (key === undefined) return false;
    this.#supersede();
    this.#latched = { kind: "latched", key };
    return true;
  }

  /** What a VM owner does after a key was lost: every key handed out so far is refused from now on. */
  startIncarnation(): number {
    this.#supersede();
    this.#incarnationId++;
    return this.#incarnationId;
  }

  #supersede(): void {
    if (this.#latched !== undefined) this.#superseded.add(this.#latched.key.guid);
    for (const guid of this.#pending.keys()) this.#superseded.add(guid);
    this.#latched = undefined;
    this.#pending.clear();
    for (const guid of this.#superseded) {
      if (this.#superseded.size <= MAX_SUPERSEDED) break;
      this.#superseded.delete(guid);
    }
  }
}
