defmodule ShopWeb.Router do
  use ShopWeb, :router

  scope "/", ShopWeb do
    get "/healthz", HealthController, :show
  end
end
