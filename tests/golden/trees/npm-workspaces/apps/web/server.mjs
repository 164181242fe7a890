import { createServer } from "node:http";
import { greeting } from "@shop/lib";

createServer((request, response) => response.end(greeting("npm"))).listen(process.env.PORT);
