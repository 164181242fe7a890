import { Hono } from "hono";

const app = new Hono();

app.get("/health", (context) => context.text("ok"));
app.get("/", (context) => context.json(["blue", "green"]));

export default { fetch: app.fetch };
