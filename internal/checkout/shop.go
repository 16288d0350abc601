package checkout

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

// Config is what a [Shop] may be told. The zero value is the documented default.
type Config struct {
	Now func() time.Time // nil = time.Now
}

// Shop is the shop's database: catalogue, reservations and orders. It is safe for concurrent use, by several processes too.
type Shop struct {
	db      *sql.DB
	rowLock string // ends a SELECT that locks its rows; a transaction of SQLite excludes all others anyway
	now     func() time.Time
}

const (
	openTimeout = 20 * time.Second      // to reach the database and bring its schema up to date
	openPause   = 20 * time.Millisecond // between two tries while other processes do the same
	maxConns    = 8                     // a process, to PostgreSQL
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open opens the database that dsn names, makes it if it is a file that is not there, and brings its schema up to date. The forms of
// dsn are sqlite:PATH and postgres://USER:PASSWORD@HOST:PORT/DATABASE. Several processes may open the same one at the same time. Close it
// after use.
func Open(ctx context.Context, dsn string, cfg Config) (*Shop, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the one place where the default clock is wired
	}
	db, dialect, err := connect(dsn)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, db, dialect); err != nil {
		return nil, errors.Join(fmt.Errorf("open the shop's database %s: %w", withoutPassword(dsn), err), db.Close())
	}
	s := &Shop{db: db, now: cfg.Now}
	if dialect == goose.DialectPostgres {
		s.rowLock = " FOR UPDATE"
		db.SetMaxOpenConns(maxConns)
		db.SetMaxIdleConns(maxConns)
	} else {
		// The goroutines of a process queue for one connection, in order. On connections of their own they would poll for SQLite's one write lock,
		// and under load some would starve.
		db.SetMaxOpenConns(1)
	}
	return s, nil
}

// Close closes the database.
func (s *Shop) Close() error { return s.db.Close() }

// instant is what gets written: UTC, milliseconds.
func (s *Shop) instant() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

func connect(dsn string) (*sql.DB, goose.Dialect, error) {
	scheme, rest, _ := strings.Cut(dsn, ":")
	switch {
	case scheme == "sqlite" && rest != "" && !strings.HasPrefix(rest, ":"):
		db, err := openFile(rest)
		return db, goose.DialectSQLite3, err
	case scheme == "postgres" || scheme == "postgresql":
		cfg, err := pgx.ParseConfig(dsn)
		if err != nil {
			return nil, "", fmt.Errorf("shop database: %w", err) // pgx leaves the password out
		}
		return stdlib.OpenDB(*cfg), goose.DialectPostgres, nil
	}
	return nil, "", fmt.Errorf("shop database %q: use sqlite:PATH, for example sqlite:data/shop.db, or postgres://USER:PASSWORD@HOST:5432/DATABASE",
		withoutPassword(dsn))
}

// openFile opens a SQLite file so that processes and goroutines wait for each other instead of failing: a transaction takes
// the write lock when it begins, and whoever finds it taken waits for up to 10 s.
func openFile(path string) (*sql.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("shop database: make the directory of %s: %w", path, err)
	}
	options := url.Values{
		"_pragma":      {"busy_timeout(10000)", "journal_mode(WAL)", "foreign_keys(1)"},
		"_txlock":      {"immediate"},
		"_time_format": {"sqlite"},
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+options.Encode())
	if err != nil {
		return nil, fmt.Errorf("shop database %s: %w", path, err)
	}
	return db, nil
}

// migrate brings the schema up to date. Processes that start together may try the same migration: each is one transaction, so one of them
// wins, and the others find it done when they look again.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, db, files, goose.WithTableName("shop_migrations"))
	if err != nil {
		return err
	}
	tries := 2 * (len(p.ListSources()) + 1)
	for {
		if err = db.PingContext(ctx); err != nil && !isBusy(err) {
			return err
		}
		if err == nil {
			tries--
			if _, err = p.Up(ctx); err == nil {
				return nil
			}
		}
		if tries <= 0 && !isBusy(err) {
			return fmt.Errorf("bring the schema up to date: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(openPause):
		}
	}
}

// isBusy tells whether another connection holds the SQLite file. Setting the journal mode of a new file says so at once instead of waiting.
func isBusy(err error) bool {
	const busy, locked = 5, 6 // the low byte of SQLite's result codes
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == busy || e.Code()&0xff == locked)
}

func withoutPassword(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		scheme, _, _ := strings.Cut(dsn, ":")
		return scheme + ":…"
	}
	return u.Redacted()
}

// inTx runs fn in a transaction, which is kept only if fn returns nil.
func (s *Shop) inTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := fn(tx); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, fmt.Errorf("roll back: %w", undo))
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// list reads all rows of a query.
func list[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below says it
	var found []T
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, item)
	}
	return found, rows.Err()
}
