// The shape of status.json that the platform's tools parse, pinned: member names and types. Order does not matter; a member too many or
// too few anywhere but in agentDetails does.

const TEXT = "text" as const;
const COUNT = "count" as const;
type Shape = typeof TEXT | typeof COUNT | RegExp | readonly Shape[] | { readonly [name: string]: Shape };

const MODULE: { readonly [name: string]: Shape } = { status: /^(?:RUNNING|STOPPED|UNKNOWN)$/, message: TEXT };
/** "?" at the end of a name: may be missing. */
const STATES = {
  secureChannelState: TEXT,
  "keyGuid?": TEXT,
  wireServerRuleId: TEXT,
  imdsRuleId: TEXT,
  hostGARuleId: TEXT,
  "keyIncarnationId?": TEXT,
};
const SUMMARY = {
  userName: TEXT,
  ip: TEXT,
  port: COUNT,
  processCmdLine: TEXT,
  responseStatus: TEXT,
  count: COUNT,
  userGroups: [TEXT],
  processFullPath: TEXT,
};

export const STATUS_SHAPE: Shape = {
  timestamp: /^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}$/,
  proxyAgentStatus: {
    version: TEXT,
    status: /^(?:SUCCESS|ERROR)$/,
    monitorStatus: MODULE,
    keyLatchStatus: { ...MODULE, states: STATES },
    ebpfProgramStatus: MODULE,
    proxyListenerStatus: MODULE,
    telemetryLoggerStatus: MODULE,
    proxyConnectionsCount: COUNT,
  },
  proxyConnectionSummary: [SUMMARY],
  failedAuthenticateSummary: [SUMMARY],
};

/** Where a value is not of a shape: "PLACE: what"; empty when it is. */
export function findShapeErrors(value: unknown, shape: Shape, place = ""): readonly string[] {
  if (shape === TEXT) return typeof value === "string" ? [] : [`${place}: no text`];
  if (shape === COUNT) return Number.isSafeInteger(value) && Number(value) >= 0 ? [] : [`${place}: no count`];
  if (shape instanceof RegExp) return typeof value === "string" && shape.test(value) ? [] : [`${place}: does not read ${shape}`];
  if (isList(shape)) {
    if (!Array.isArray(value)) return [`${place}: no list`];
    return value.flatMap((element, index) => findShapeErrors(element, shape[0] ?? TEXT, `${place}/${index}`));
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [`${place}: no object`];
  const members = new Map(Object.entries(value));
  const errors: string[] = [];
  for (const [written, member] of Object.entries(shape)) {
    const name = written.replace(/\?$/, "");
    if (members.has(name)) errors.push(...findShapeErrors(members.get(name), member, `${place}/${name}`));
    else if (name === written) errors.push(`${place}/${name}: missing`);
    members.delete(name);
  }
  return [...errors, ...[...members.keys()].map((name) => `${place}/${name}: too many`)];
}

function isList(shape: Shape): shape is readonly Shape[] {
  return Array.isArray(shape);
}
