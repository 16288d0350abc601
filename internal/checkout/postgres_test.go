package checkout_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// cluster is a private PostgreSQL for all tests of the package, reachable through a socket in its own directory only. It starts
// when the first test needs it.
var cluster postgres

type postgres struct {
	start   sync.Once
	err     error
	bin     string // "" = not installed
	dir     string
	url     string
	server  *exec.Cmd
	end     io.Closer // closing it, or the death of this process, stops the server
	mu      sync.Mutex
	schemas int
}

// schema makes an empty schema and returns the DSN that leads to it.
func (p *postgres) schema(t *testing.T) string {
	t.Helper()
	p.start.Do(func() { p.err = p.launch() })
	if p.err != nil {
		t.Fatal(p.err)
	}
	if p.bin == "" {
		if os.Getenv("REQUIRE_POSTGRES") == "1" {
			t.Fatal("no PostgreSQL in /usr/lib/postgresql/*/bin, and REQUIRE_POSTGRES=1; install the package postgresql")
		}
		t.Skip("no PostgreSQL in /usr/lib/postgresql/*/bin; install the package postgresql")
	}
	p.mu.Lock()
	p.schemas++
	name := "test_" + strconv.Itoa(p.schemas)
	p.mu.Unlock()
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p.url + "&search_path=" + name
}

func (p *postgres) launch() error {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return err
	}
	slices.Sort(found)
	p.bin = filepath.Dir(found[len(found)-1])
	if p.dir, err = os.MkdirTemp("", "pg"); err != nil {
		return err
	}
	as, err := serverAccount(p.dir)
	if err != nil {
		return err
	}
	data := filepath.Join(p.dir, "data")
	initdb := exec.Command(filepath.Join(p.bin, "initdb"), "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: as}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	// The shell waits for its standard input to close, which the end of this process does in any case.
	p.server = exec.Command("/bin/sh", "-c", `"$@" & server=$!; read _; kill -INT $server; wait $server`, "sh",
		filepath.Join(p.bin, "postgres"), "-D", data, "-k", p.dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200")
	p.server.Dir, p.server.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: as}
	if p.end, err = p.server.StdinPipe(); err != nil {
		return err
	}
	if err := p.server.Start(); err != nil {
		return err
	}
	p.url = "postgres:///postgres?user=postgres&host=" + url.QueryEscape(p.dir)
	return p.reachable()
}

// serverAccount is whom the server runs as, nil for ourselves: as root it refuses to.
func serverAccount(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2, os.Chown(dir, uid, gid))
}

func (p *postgres) reachable() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, p.url)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not come up: %w", err)
		}
	}
}

func (p *postgres) stop() {
	if p.end != nil {
		_ = p.end.Close()
		_ = p.server.Wait()
	}
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}
