package main

import (
	"net/http"

	"example.com/team/shop/v2/internal/shop"
)

func main() {
	http.HandleFunc("GET /healthz", shop.Health)
	_ = http.ListenAndServe(":8080", nil)
}
