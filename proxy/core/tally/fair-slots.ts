// A table with a fixed number of places that users share fairly. When it is full, the lightest entry of the user who has the most
// is evicted, so a user who varies what it does loses its own entries and never those of a user with fewer.

export interface FairSlots<Entry> {
  get(key: string): Entry | undefined;
  /**
   * Puts an entry under a key that is not there yet.
   * @param user - whose places it counts among
   * @returns the entry that had to give way
   */
  add(key: string, user: string, entry: Entry): Evicted<Entry> | undefined;
  delete(key: string): void;
  /** Oldest first. May be deleted from while it is walked through. */
  entries(): IterableIterator<readonly [key: string, entry: Entry]>;
  size(): number;
}

export interface Evicted<Entry> {
  readonly user: string;
  readonly entry: Entry;
}

interface Slot<Entry> {
  readonly user: string;
  readonly entry: Entry;
}

/**
 * @param maxEntries - places, at least 1
 * @param weigh - the lightest entry of the fullest user gives way
 */
export function makeFairSlots<Entry>(maxEntries: number, weigh: (entry: Entry) => number): FairSlots<Entry> {
  const slots = new Map<string, Slot<Entry>>();
  const places = new Map<string, number>();

  /** The arriving user evicts its own entry when no other has more. */
  function findVictim(arriving: string): string | undefined {
    let fullest = arriving;
    for (const [user, count] of places) if (count > (places.get(fullest) ?? 0)) fullest = user;
    let victim: string | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const [key, { user, entry }] of slots) {
      if (user !== fullest) continue;
      const weight = weigh(entry);
      if (victim !== undefined && weight >= least) continue;
      victim = key;
      least = weight;
    }
    return victim;
  }

  function remove(key: string): Slot<Entry> | undefined {
    const slot = slots.get(key);
    if (slot === undefined) return undefined;
    slots.delete(key);
    const left = (places.get(slot.user) ?? 1) - 1;
    if (left === 0) places.delete(slot.user);
    else places.set(slot.user, left);
    return slot;
  }

  return {
    get: (key) => slots.get(key)?.entry,
    add(key, user, entry) {
      const victim = slots.size < maxEntries ? undefined : findVictim(user);
      const evicted = victim === undefined ? undefined : remove(victim);
      places.set(user, (places.get(user) ?? 0) + 1);
      slots.set(key, { user, entry });
      return evicted;
    },
    delete: (key) => {
      remove(key);
    },
    *entries() {
      for (const [key, { entry }] of slots) yield [key, entry] as const;
    },
    size: () => slots.size,
  };
}
