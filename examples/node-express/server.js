const express = require("express");

const app = express();
app.get("/", (request, response) => response.send("hello from express\n"));
app.get("/health", (request, response) => response.json({ status: "ok" }));

const server = app.listen(process.env.PORT || 8080, "0.0.0.0");
process.on("SIGTERM", () => server.close(() => process.exit(0)));
