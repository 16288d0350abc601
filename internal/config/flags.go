package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

const configFlag = "config"

// APIFlags adds the flags of LoadAPI to fs.
func APIFlags(fs *pflag.FlagSet) {
	addFlags(fs, "redis", "api", "workflows", "asynqmon", "runs", "shop", "log", "dev")
}

// WorkerFlags adds the flags of LoadWorker to fs.
func WorkerFlags(fs *pflag.FlagSet) {
	addFlags(fs, "redis", "worker", "runs", "shop", "log", "dev")
}

// StackFlags adds the flags of LoadStack to fs.
func StackFlags(fs *pflag.FlagSet) {
	addFlags(fs, "redis", "api", "log")
}

// addFlags adds --config and a flag for every key of the named sections. The help text of each says
// meaning, default and environment variable.
func addFlags(fs *pflag.FlagSet, sections ...string) {
	fs.SortFlags = false
	fs.String(configFlag, "", "YAML `file` with settings; flags and environment win over it")
	for _, k := range keys() {
		section, _, _ := strings.Cut(k.name, ".")
		if !slices.Contains(sections, section) {
			continue
		}
		usage := fmt.Sprintf("%s [%s]", k.usage, k.env())
		switch def := k.def.(type) {
		case bool:
			fs.Bool(k.flag(), def, usage)
		case int:
			fs.Int(k.flag(), def, usage)
		case time.Duration:
			fs.Duration(k.flag(), def, usage)
		case string:
			fs.String(k.flag(), def, usage)
		}
	}
}
