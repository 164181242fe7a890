package main

import (
	"embed"
	"net/http"
	"os"
)

//go:embed all:dist
var files embed.FS

func main() {
	_ = http.ListenAndServe(":"+os.Getenv("PORT"), http.FileServerFS(files))
}
