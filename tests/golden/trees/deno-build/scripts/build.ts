await Deno.mkdir("out", { recursive: true });
await Deno.writeTextFile("out/index.html", "<h1>Hello</h1>\n");
