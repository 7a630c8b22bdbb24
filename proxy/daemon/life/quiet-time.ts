// Returns memory when the agent is idle: after the start and after each burst of requests, when a whole poll interval
// passed without any. Runs with the polls, so an idle agent is not woken for it.

export interface QuietTimePorts {
  /** Requests since start. */
  readonly requests: () => number;
  /** Holds everything up for some milliseconds. */
  readonly release: () => void;
  /** What a poll alone brought back; costs a fraction of a millisecond. */
  readonly releaseCode: () => void;
}

export interface QuietTime {
  afterPoll(): void;
}

export function makeQuietTime({ requests, release, releaseCode }: QuietTimePorts): QuietTime {
  /** None yet, so that the first poll, in the midst of the start, counts as work. */
  let seen: number | undefined;
  let worked = true;
  return {
    afterPoll() {
      const now = requests();
      if (now !== seen) worked = true;
      else if (worked) {
        worked = false;
        release();
      } else releaseCode();
      seen = now;
    },
  };
}
