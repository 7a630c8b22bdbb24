// Where the agent listens: a part of the protocol, known to boot tools and to the programs in the kernel, and so not configurable.

export const LISTENER_ADDRESS = "127.0.0.1";
export const LISTENER_PORT = 3080;
