package asynqueue

import (
	"context"
	"fmt"
	"log/slog"
)

// asynqLog passes asynq's log on, each line one level lower: what asynq calls information is of use only to its developers, its warnings tell what
// the wrapper has logged with more detail, and its errors are repaired by the next try.
type asynqLog struct{ log *slog.Logger }

func (l asynqLog) write(level slog.Level, args []any) {
	l.log.Log(context.Background(), level, "asynq", "text", fmt.Sprint(args...)) // asynq passes no context
}

func (l asynqLog) Debug(args ...any) { l.write(slog.LevelDebug, args) }
func (l asynqLog) Info(args ...any)  { l.write(slog.LevelDebug, args) }
func (l asynqLog) Warn(args ...any)  { l.write(slog.LevelInfo, args) }
func (l asynqLog) Error(args ...any) { l.write(slog.LevelWarn, args) }
func (l asynqLog) Fatal(args ...any) { l.write(slog.LevelError, args) }
