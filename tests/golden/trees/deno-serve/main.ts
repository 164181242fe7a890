import { capitalize } from "https://deno.land/x/words@1.0.0/mod.ts";

Deno.serve(() => new Response(capitalize("hello")));
