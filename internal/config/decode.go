package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
)

var (
	errNotDuration = errors.New("not a duration")
	errNotNumber   = errors.New("not a whole number")
	errNotList     = errors.New("not a list of texts")
)

// decodeHook converts what file, environment and flags hold to the types of the structs. Anything
// that it does not convert must have the right type already.
func decodeHook() mapstructure.DecodeHookFuncType {
	return func(_, to reflect.Type, data any) (any, error) {
		switch to {
		case reflect.TypeFor[time.Duration]():
			return toDuration(data)
		case reflect.TypeFor[int]():
			return toInt(data)
		case reflect.TypeFor[bool]():
			if text, ok := data.(string); ok {
				return strconv.ParseBool(text)
			}
		case reflect.TypeFor[[]Queue]():
			return toQueues(data)
		}
		return data, nil
	}
}

// toDuration refuses a bare number, which would be nanoseconds.
func toDuration(data any) (any, error) {
	switch d := data.(type) {
	case time.Duration:
		return d, nil
	case string:
		return time.ParseDuration(d)
	default:
		return nil, errNotDuration
	}
}

// toInt refuses a number with a fraction, which would be cut off.
func toInt(data any) (any, error) {
	switch n := data.(type) {
	case int:
		return n, nil
	case string:
		return strconv.Atoi(n)
	default:
		return nil, errNotNumber
	}
}

// toQueues reads "a=6,b=3" or, from a file, the list of "a=6" and "b=3".
func toQueues(data any) (any, error) {
	var items []string
	switch d := data.(type) {
	case string:
		items = strings.Split(d, ",")
	case []any:
		for _, item := range d {
			text, ok := item.(string)
			if !ok {
				return nil, errNotList
			}
			items = append(items, text)
		}
	default:
		return nil, errNotList
	}
	queues := make([]Queue, 0, len(items))
	for _, item := range items {
		name, weight, ok := strings.Cut(item, "=")
		n, err := strconv.Atoi(strings.TrimSpace(weight))
		switch {
		case !ok:
			return nil, fmt.Errorf("%q has no weight", strings.TrimSpace(item))
		case err != nil:
			return nil, fmt.Errorf("the weight of %q is not a whole number", strings.TrimSpace(item))
		}
		queues = append(queues, Queue{Name: strings.TrimSpace(name), Weight: n})
	}
	return queues, nil
}
