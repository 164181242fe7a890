var app = WebApplication.CreateBuilder(args).Build();

app.MapGet("/", () => new[] { "blue", "green" });
app.MapGet("/healthz", () => "ok");

app.Run();
