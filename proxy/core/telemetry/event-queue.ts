// Events that wait in memory, bounded in number and size. What does not fit is returned to the caller; adding never waits.

import type { TelemetryEvent } from "./event.ts";

export interface EventQueue<Event extends TelemetryEvent> {
  /** False: there is no room. */
  add(event: Event): boolean;
  /** Takes out the oldest events, at most so many. */
  take(maxEvents?: number): readonly Event[];
  size(): number;
  /** How many more it takes at most. */
  room(): number;
}

const MAX_EVENTS = 1000;
const MAX_CHARACTERS = 1024 * 1024;

export function makeEventQueue<Event extends TelemetryEvent>(maxEvents = MAX_EVENTS, maxCharacters = MAX_CHARACTERS): EventQueue<Event> {
  let events: Event[] = [];
  let characters = 0;
  return {
    add(event) {
      const size = charactersOf(event);
      if (events.length >= maxEvents || characters + size > maxCharacters) return false;
      events.push(event);
      characters += size;
      return true;
    },
    take(most = events.length) {
      const taken = events.slice(0, most);
      events = events.slice(most);
      characters -= taken.reduce((sum, event) => sum + charactersOf(event), 0);
      return taken;
    },
    size: () => events.length,
    room: () => (characters >= maxCharacters ? 0 : maxEvents - events.length),
  };
}

function charactersOf(event: TelemetryEvent): number {
  return Object.values(event).reduce((sum: number, value) => sum + (typeof value === "string" ? value.length : 8), 0);
}
