// Command worker runs the steps of workflows. Start as many as the load needs; they share it.
package main

import (
	"os"

	"github.com/stepwell/stepwell/internal/app"
)

func main() {
	os.Exit(app.Execute(app.WorkerCommand("worker"), os.Stderr))
}
