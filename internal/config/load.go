package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

const fromDefault = "the default"

// LoadAPI reads the configuration of the API from flags (registered by APIFlags and parsed; nil =
// none), from environ in the form of os.Environ, and from the file that --config names. The error is
// an *Error.
func LoadAPI(flags *pflag.FlagSet, environ []string) (API, error) {
	s, _, err := load(flags, environ)
	if err != nil {
		return API{}, err
	}
	return API{Redis: s.Redis, HTTP: s.HTTP, Asynqmon: s.Asynqmon, Workflows: s.Workflows, Runs: s.Runs, Shop: s.Shop, Log: s.Log, Dev: s.Dev}, nil
}

// LoadWorker is LoadAPI for a worker, with the flags of WorkerFlags.
func LoadWorker(flags *pflag.FlagSet, environ []string) (Worker, error) {
	s, _, err := load(flags, environ)
	if err != nil {
		return Worker{}, err
	}
	return Worker{Redis: s.Redis, Pool: s.Pool, Runs: s.Runs, Shop: s.Shop, Log: s.Log, Dev: s.Dev}, nil
}

// LoadStack is LoadAPI for the commands that start everything themselves, with the flags of
// StackFlags. Its Redis.URL is empty unless one was set.
func LoadStack(flags *pflag.FlagSet, environ []string) (Stack, error) {
	s, isSet, err := load(flags, environ)
	if err != nil {
		return Stack{}, err
	}
	if !isSet("redis.url") {
		s.Redis.URL = ""
	}
	return Stack{Redis: s.Redis, HTTP: s.HTTP, Log: s.Log}, nil
}

func load(flags *pflag.FlagSet, environ []string) (s settings, isSet func(key string) bool, err error) {
	l := &loader{v: viper.New(), given: map[string]any{}, sources: map[string]string{}}
	for _, k := range keys() {
		l.v.SetDefault(k.name, k.def)
	}
	l.readFile(flags)
	l.readEnv(environ)
	l.readFlags(flags)
	s = l.decode()
	validate(s, l.refuse)
	if len(l.problems) > 0 {
		return settings{}, nil, &Error{Problems: l.problems}
	}
	return s, func(key string) bool { return l.sources[key] != "" }, nil
}

// loader collects the layers of one configuration and what is wrong with them.
type loader struct {
	v        *viper.Viper
	given    map[string]any    // nested: what file and environment say, the latter on top
	sources  map[string]string // key → where its value comes from; absent = the default
	problems []Problem
}

// readFile takes the known keys of the file that --config names; the others are problems. A key
// without a value counts as not set. They do not go into viper as they are, because there an empty
// section ("redis:" and nothing below) would hide the defaults of all that is in it.
func (l *loader) readFile(flags *pflag.FlagSet) {
	if flags == nil || !flags.Changed(configFlag) {
		return
	}
	path := flags.Lookup(configFlag).Value.String()
	if path == "" {
		l.problems = append(l.problems, Problem{Key: "--" + configFlag, Reason: "names no file: leave it out to use none"})
		return
	}
	file := viper.New()
	file.SetConfigFile(path)
	file.SetConfigType("yaml")
	if err := file.ReadInConfig(); err != nil {
		l.problems = append(l.problems, fileProblem(path, err))
		return
	}
	for _, name := range slices.Sorted(slices.Values(file.AllKeys())) {
		value := file.Get(name)
		_, known := findKey(name)
		switch {
		case value == nil && (known || isSection(name)):
		case known:
			l.set(name, value, path)
		default:
			l.problems = append(l.problems, unknownKey(name, path))
		}
	}
}

func fileProblem(path string, err error) Problem {
	p := Problem{Key: path, Source: "--" + configFlag}
	var parse viper.ConfigParseError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.Reason = "does not exist: name an existing file or leave --config out"
	case errors.As(err, &parse):
		p.Reason = "is not a YAML file of settings: " + strings.TrimPrefix(parse.Unwrap().Error(), "yaml: ")
	default:
		p.Reason = "cannot be read: " + err.Error()
	}
	return p
}

func unknownKey(name, path string) Problem {
	if isSection(name) {
		return Problem{Key: name, Source: path, Reason: "is a section: its settings stand below it, indented"}
	}
	var names []string
	for _, k := range keys() {
		if strings.HasPrefix(name, k.name+".") {
			return Problem{Key: name, Source: path, Reason: "is below the setting " + k.name + ", which " + k.form}
		}
		names = append(names, k.name)
	}
	return Problem{Key: name, Source: path, Reason: "is not a setting; the nearest one is " + nearest(name, names)}
}

func isSection(name string) bool {
	return slices.ContainsFunc(keys(), func(k key) bool { return strings.HasPrefix(k.name, name+".") })
}

// readEnv takes the variables that start with STEPWELL_; one that is no setting is a problem.
func (l *loader) readEnv(environ []string) {
	byEnv := map[string]key{}
	for _, k := range keys() {
		byEnv[k.env()] = k
	}
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		k, known := byEnv[name]
		switch {
		case !known:
			near := nearest(name, slices.Sorted(maps.Keys(byEnv)))
			l.problems = append(l.problems, Problem{
				Key: name, Source: "the environment", Reason: "is not a setting; the nearest one is " + near,
			})
		case value != "":
			l.set(k.name, value, name)
		}
	}
}

// readFlags binds the flags; those that were given win over everything.
func (l *loader) readFlags(flags *pflag.FlagSet) {
	if flags == nil {
		return
	}
	for _, k := range keys() {
		f := flags.Lookup(k.flag())
		if f == nil {
			continue
		}
		if err := l.v.BindPFlag(k.name, f); err != nil {
			l.problems = append(l.problems, Problem{Key: k.name, Reason: "cannot be bound: " + err.Error()})
		}
		if f.Changed {
			l.sources[k.name] = "--" + f.Name
		}
	}
}

func (l *loader) set(name string, value any, source string) {
	section, leaf, nested := strings.Cut(name, ".")
	l.sources[name] = source
	if !nested {
		l.given[section] = value
		return
	}
	inner, ok := l.given[section].(map[string]any)
	if !ok {
		inner = map[string]any{}
		l.given[section] = inner
	}
	inner[leaf] = value
}

// decode fills the struct. What cannot be converted is a problem, and zero in the result.
func (l *loader) decode() settings {
	var s settings
	err := l.v.MergeConfigMap(l.given)
	if err == nil {
		err = l.v.UnmarshalExact(&s, viper.DecodeHook(decodeHook()), func(c *mapstructure.DecoderConfig) {
			c.WeaklyTypedInput = false // or true would be 1, and "" would be 0
		})
	}
	if err == nil {
		return s
	}
	failed := map[string]error{}
	collect(err, failed)
	for _, k := range keys() {
		cause, bad := failed[k.name]
		if !bad {
			continue
		}
		reason := k.form
		if k.form == formQueues {
			reason += ": " + cause.Error()
		}
		l.refuse(k.name, reason)
	}
	if len(failed) == 0 {
		l.problems = append(l.problems, Problem{Key: "the configuration", Reason: "cannot be decoded: " + err.Error()})
	}
	return s
}

// collect finds the keys whose decoding failed in a tree of errors, each with its cause.
func collect(err error, failed map[string]error) {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself, one level at a time
	case *mapstructure.DecodeError:
		if _, ok := findKey(e.Name()); ok {
			failed[e.Name()] = e.Unwrap()
			return
		}
		collect(e.Unwrap(), failed)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			collect(inner, failed)
		}
	case interface{ Unwrap() error }:
		collect(e.Unwrap(), failed)
	}
}

// refuse adds a problem with the value of a key, unless that key has one already.
func (l *loader) refuse(name, reason string) {
	if slices.ContainsFunc(l.problems, func(p Problem) bool { return p.Key == name }) {
		return
	}
	k, _ := findKey(name)
	l.problems = append(l.problems, Problem{
		Key: name, Value: shown(name, l.v.Get(name)), Reason: reason,
		Source: cmp.Or(l.sources[name], fromDefault), Env: k.env(),
	})
}

// shown is a value as an operator may see it.
func shown(name string, value any) string {
	text := fmt.Sprint(value)
	switch name {
	case "redis.url", "shop.database", "shop.gateway_url":
		return Secret(text).String()
	default:
		return text
	}
}
