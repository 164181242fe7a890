import { createServer } from "node:http";
import { greeting } from "@shop/lib";

createServer((request, response) => response.end(greeting("pnpm"))).listen(process.env.PORT);
