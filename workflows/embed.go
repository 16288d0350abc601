// Package workflows holds the workflow definitions that Stepwell ships, one directory a namespace.
package workflows

import "embed"

// Files are the definitions, namespace/name.yaml.
//
//go:embed */*.yaml
var Files embed.FS
