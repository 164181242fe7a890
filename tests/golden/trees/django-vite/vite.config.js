export default { build: { outDir: "static/dist" } };
