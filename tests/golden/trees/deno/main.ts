Deno.serve((request: Request): Response => {
  const { pathname } = new URL(request.url);
  if (pathname === "/health") {
    return new Response("ok");
  }
  return Response.json(["blue", "green"]);
});
