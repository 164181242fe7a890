package shop

import "net/http"

// Health says that all is well.
func Health(answer http.ResponseWriter, _ *http.Request) {
	_, _ = answer.Write([]byte("ok"))
}
