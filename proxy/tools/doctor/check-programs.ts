// Are the five kernel programs attached, and who else is there? Programs of others may rewrite a connection after ours.

import { broken, doubtful, type Finding, fine } from "./finding.ts";

export interface HookFacts {
  /** Such as `connect4`. */
  readonly hook: string;
  /** Name of our program there, as the kernel keeps it (15 characters). */
  readonly ours: string;
  /** What keeps ours from being attached, and what to do; undefined: nothing. */
  readonly blocked?: { readonly found: string; readonly advice: string } | undefined;
  /** Programs in effect at the cgroup, in the order in which they run. */
  readonly programs: readonly { readonly id: number; readonly name: string }[];
}

/** @param hooks - undefined: could not be queried, with the reason */
export function checkPrograms(cgroupPath: string, hooks: readonly HookFacts[] | string): readonly Finding[] {
  if (typeof hooks === "string")
    return [doubtful("programs", `cannot ask for the programs at ${cgroupPath}: ${hooks}`, "run doctor as root")];
  const blocked = hooks.flatMap((hook) => (hook.blocked === undefined ? [] : [hook.blocked]));
  if (blocked.length > 0) return blocked.map(({ found, advice }) => broken("programs", found, advice));
  const missing = hooks.filter(({ ours, programs }) => !programs.some(({ name }) => name === ours));
  if (missing.length === hooks.length)
    return [broken("programs", `none of ours is attached to ${cgroupPath}`, "nothing is redirected: start the agent")];
  if (missing.length > 0) {
    const names = missing.map(({ hook }) => hook).join(", ");
    return [broken("programs", `ours are missing at ${cgroupPath} for: ${names}`, "restart the agent, and find out who detached them")];
  }
  return [fine("programs", `all ${hooks.length} are attached to ${cgroupPath}`), checkOrder(hooks)];
}

function checkOrder(hooks: readonly HookFacts[]): Finding {
  const others = hooks.flatMap(({ hook, ours, programs }) => {
    const last = programs.findLastIndex(({ name }) => name === ours);
    return programs.flatMap(({ id, name }, index) =>
      name === ours ? [] : [{ hook, after: index > last, words: `"${name}" (id ${id}) at ${hook}` }],
    );
  });
  if (others.length === 0) return fine("program-order", "nobody else has programs at these hooks");
  const behind = others.filter(({ hook, after }) => after && hook.startsWith("connect"));
  if (behind.length === 0) return fine("program-order", `others run beside ours: ${others.map(({ words }) => words).join(", ")}`);
  return doubtful(
    "program-order",
    `others run after ours and see rewritten connections: ${behind.map(({ words }) => words).join(", ")}`,
    "see that they leave connections to 127.0.0.1:3080 alone; a connection rewritten once more is not answered",
  );
}
