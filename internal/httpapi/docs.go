package httpapi

import (
	"embed"
	"mime"
	"net/http"
	"path"

	"github.com/go-chi/chi/v5"
)

//go:embed static
var static embed.FS

// docsPolicy lets the page load its own script, style and document and nothing else.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docRoutes serves a page that shows /openapi.json.
func docRoutes(router chi.Router) {
	for at, file := range map[string]string{"/docs": "docs.html", "/docs/docs.js": "docs.js", "/docs/docs.css": "docs.css"} {
		router.Get(at, func(w http.ResponseWriter, r *http.Request) {
			body, err := static.ReadFile("static/" + file)
			if err != nil {
				newProblem(http.StatusInternalServerError, "internal", internalDetail).write(w, r)
				return
			}
			w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(file)))
			w.Header().Set("Content-Security-Policy", docsPolicy)
			w.Header().Set("Cache-Control", "no-cache")
			_, _ = w.Write(body) // nobody is left to tell
		})
	}
}
