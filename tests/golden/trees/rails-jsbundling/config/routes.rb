Rails.application.routes.draw { get "up" => "rails/health#show" }
