import Config

config :shop, ShopWeb.Endpoint, http: [port: String.to_integer(System.get_env("PORT") || "4000")]
