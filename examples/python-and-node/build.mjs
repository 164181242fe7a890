import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { marked } from "marked";

mkdirSync("static", { recursive: true });
writeFileSync("static/about.html", marked.parse(readFileSync("about.md", "utf8")));
