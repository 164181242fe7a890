// A page, a list and a health check, on the port that the platform says.
package main

import (
	"encoding/json"
	"html/template"
	"log"
	"net/http"
	"os"

	"github.com/go-chi/chi/v5"
)

func main() {
	page := template.Must(template.ParseFiles("templates/index.html"))
	routes := chi.NewRouter()
	routes.Get("/healthz", func(answer http.ResponseWriter, _ *http.Request) {
		_, _ = answer.Write([]byte("ok"))
	})
	routes.Get("/", func(answer http.ResponseWriter, _ *http.Request) {
		_ = page.Execute(answer, "Go")
	})
	routes.Get("/colours", func(answer http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(answer).Encode([]string{"blue", "green"})
	})
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), routes))
}
