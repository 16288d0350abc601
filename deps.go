//go:build depsonly

package stepwell

import (
	_ "github.com/hibiken/asynq"
	_ "github.com/hibiken/asynqmon"
	_ "github.com/redis/go-redis/v9"
	_ "github.com/spf13/viper"
	_ "github.com/spf13/cobra"
	_ "github.com/go-viper/mapstructure/v2"
	_ "charm.land/bubbletea/v2"
	_ "charm.land/lipgloss/v2"
	_ "github.com/danielgtaylor/huma/v2"
	_ "github.com/danielgtaylor/huma/v2/adapters/humachi"
	_ "github.com/go-chi/chi/v5"
	_ "github.com/santhosh-tekuri/jsonschema/v6"
	_ "github.com/goccy/go-yaml"
	_ "github.com/oklog/ulid/v2"
	_ "modernc.org/sqlite"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/pressly/goose/v3"
	_ "github.com/wneessen/go-mail"
	_ "github.com/emersion/go-smtp"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/alicebob/miniredis/v2"
	_ "pgregory.net/rapid"
	_ "go.uber.org/goleak"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/shopspring/decimal"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/term"
)
