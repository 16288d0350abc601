package composetest_test

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/stepwell/stepwell/internal/localredis/redistest"
)

// startPostgres makes a private cluster with the user, password and database that the image would make from the service's environment, and
// returns where it listens. Without PostgreSQL the test is skipped, or fails with REQUIRE_POSTGRES=1.
func startPostgres(t *testing.T, service *types.ServiceConfig) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		if os.Getenv("REQUIRE_POSTGRES") == "1" {
			t.Fatal("no PostgreSQL in /usr/lib/postgresql/*/bin, and REQUIRE_POSTGRES=1; install the package postgresql")
		}
		t.Skip("no PostgreSQL in /usr/lib/postgresql/*/bin; install the package postgresql")
	}
	slices.Sort(found)
	bin := filepath.Dir(found[len(found)-1])
	dir, err := os.MkdirTemp("", "pg") //nolint:usetesting // not the test's own, whose parent may be closed to the server's account
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	account := serverAccount(t, dir)
	env := func(name string) string { return *service.Environment[name] }
	run := func(program string, args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, program), args...)
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: account}
		cmd.Env = append(os.Environ(), "PGPASSWORD="+env("POSTGRES_PASSWORD"))
		return cmd.CombinedOutput()
	}
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(env("POSTGRES_PASSWORD")), 0o644); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-U", env("POSTGRES_USER"), "-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--no-sync"); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	addr := redistest.FreeAddr(t)
	host, port := split(t, addr)
	// The shell waits for its standard input to close, which the end of this process does in any case.
	server := exec.Command("/bin/sh", "-c", `"$@" & server=$!; read _; kill -INT $server; wait $server`, "sh",
		filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-p", port, "-c", "listen_addresses="+host, "-c", "fsync=off")
	server.Dir, server.SysProcAttr = dir, &syscall.SysProcAttr{Credential: account}
	end, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = end.Close()
		_ = server.Wait()
	})
	eventually(t, "PostgreSQL to answer", func() error {
		out, err := run("pg_isready", "-h", host, "-p", port)
		return textError(out, err)
	})
	if out, err := run("createdb", "-h", host, "-p", port, "-U", env("POSTGRES_USER"), env("POSTGRES_DB")); err != nil {
		t.Fatalf("createdb: %v: %s", err, out)
	}
	return addr
}

// serverAccount is whom the server runs as, nil for ourselves: as root it refuses to.
func serverAccount(t *testing.T, dir string) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2, os.Chown(dir, uid, gid)); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
