package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
)

// String is name=weight, the form in which a queue is configured.
func (q Queue) String() string { return q.Name + "=" + strconv.Itoa(q.Weight) }

// LogValue is every key with its value, passwords hidden.
func (c API) LogValue() slog.Value { return slog.GroupValue(attrs("", reflect.ValueOf(c))...) }

// String is every key with its value, passwords hidden.
func (c API) String() string { return text(c.LogValue()) }

// LogValue is every key with its value, passwords hidden.
func (c Worker) LogValue() slog.Value { return slog.GroupValue(attrs("", reflect.ValueOf(c))...) }

// String is every key with its value, passwords hidden.
func (c Worker) String() string { return text(c.LogValue()) }

// LogValue is every key with its value, passwords hidden.
func (c Stack) LogValue() slog.Value { return slog.GroupValue(attrs("", reflect.ValueOf(c))...) }

// String is every key with its value, passwords hidden.
func (c Stack) String() string { return text(c.LogValue()) }

// attrs lists the keys of a struct and of the sections in it.
func attrs(prefix string, v reflect.Value) []slog.Attr {
	var list []slog.Attr
	for field, value := range v.Fields() {
		name := prefix + field.Tag.Get("mapstructure")
		if value.Kind() == reflect.Struct {
			list = append(list, attrs(name+".", value)...)
			continue
		}
		list = append(list, slog.String(name, shownValue(value.Interface())))
	}
	return list
}

func shownValue(v any) string {
	queues, ok := v.([]Queue)
	if !ok {
		return fmt.Sprint(v)
	}
	items := make([]string, len(queues))
	for i, q := range queues {
		items[i] = q.String()
	}
	return strings.Join(items, ",")
}

func text(v slog.Value) string {
	parts := make([]string, 0, len(v.Group()))
	for _, a := range v.Group() {
		parts = append(parts, a.String())
	}
	return strings.Join(parts, " ")
}
