import { parse } from "cookie";

export const parseCookie = (text) => ({ ...parse(text) });
