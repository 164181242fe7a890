import { mkdirSync, writeFileSync } from "node:fs";

mkdirSync("dist", { recursive: true });
writeFileSync("dist/index.mjs", "export const greeting = (name) => `hello ${name}`;\n");
