// Command api serves Stepwell's REST API: it starts runs, shows them, and lets operators retry what failed.
package main

import (
	"os"

	"github.com/stepwell/stepwell/internal/app"
)

func main() {
	os.Exit(app.Execute(app.APICommand("api"), os.Stderr))
}
