// Brings the chart library to a page that has a chart, once.
let library;

export function load(script, style) {
  library ??= new Promise((done, failed) => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: style });
    const code = Object.assign(document.createElement("script"), { src: script, onload: done, onerror: failed });
    document.head.append(link, code);
  });
  return library;
}
