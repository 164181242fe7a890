import { Hono } from "hono";

const app = new Hono();

app.get("/", (context) => context.html("<!doctype html><title>Hello</title><h1>Hello from Deno</h1>"));
app.get("/colours", (context) => context.json(["blue", "green"]));
app.get("/healthz", (context) => context.text("ok"));

Deno.serve(app.fetch);
