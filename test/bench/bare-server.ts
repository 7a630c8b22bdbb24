// The smallest server Bun can be: what every Bun program pays before it does anything. Takes its port as the only argument.

Bun.serve({ hostname: "127.0.0.1", port: Number(process.argv[2]), fetch: () => new Response("ok") });
