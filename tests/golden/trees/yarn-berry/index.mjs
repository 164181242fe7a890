import { createServer } from "node:http";
import { parseCookie } from "./cookies.mjs";

createServer((request, response) => {
  response.end(JSON.stringify({ hello: "yarn", cookies: parseCookie(request.headers.cookie ?? "") }));
}).listen(process.env.PORT);
