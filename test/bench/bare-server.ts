// The smallest server Bun can be: what every Bun program pays before it does anything. Takes its port as the only argument; without one
// it ends at once, as the smallest program.

const [, , port] = process.argv;
if (port !== undefined) Bun.serve({ hostname: "127.0.0.1", port: Number(port), fetch: () => new Response("ok") });
