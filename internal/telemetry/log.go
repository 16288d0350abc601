package telemetry

import (
	"io"
	"log/slog"
	"strings"
)

// NewLogger returns a logger that writes to w. Level is debug, info, warn or error, and info when it is none of them. Format is text, json or
// auto, which is text on a terminal and JSON elsewhere.
func NewLogger(w io.Writer, level, format string, isTerminal bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: levelOf(level)}
	if format == "text" || format != "json" && isTerminal {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func levelOf(name string) slog.Level {
	switch strings.ToLower(name) {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}
