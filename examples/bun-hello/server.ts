import { parse } from "cookie";

Bun.serve({
  port: Number(process.env.PORT),
  fetch: (request: Request) => Response.json({ hello: "bun", cookies: { ...parse(request.headers.get("cookie") ?? "") } }),
});
