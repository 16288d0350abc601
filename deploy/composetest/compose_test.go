package composetest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/stepwell/stepwell/deploy/composetest"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func load(t *testing.T, compose string) (*types.Project, error) {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return composetest.Load(t.Context(), "compose.yaml", []byte(compose), dir)
}

func mustLoad(t *testing.T) *types.Project {
	t.Helper()
	project, err := load(t, read(t, "deploy/compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func images(t *testing.T, dockerfile string) map[string]*composetest.Image {
	t.Helper()
	found, _, err := composetest.ParseDockerfile(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestComposeFileIsAsItMustBe(t *testing.T) {
	t.Parallel()
	project := mustLoad(t)
	for _, problem := range composetest.Problems(project, images(t, read(t, "deploy/Dockerfile"))) {
		t.Error(problem)
	}
	want := []string{"api", "asynqmon", "gateway", "mail", "postgres", "redis", "worker"}
	if names := slices.Sorted(slices.Values(project.ServiceNames())); !slices.Equal(names, want) {
		t.Errorf("services %v, want %v", names, want)
	}
}

// Each rule must see the slip that it is there for.
func TestProblemsAreSeen(t *testing.T) {
	t.Parallel()
	compose, dockerfile := read(t, "deploy/compose.yaml"), read(t, "deploy/Dockerfile")
	for _, slip := range []struct{ file, old, now, want string }{
		{"compose", "STEPWELL_WORKER_GRACE:", "STEPWELL_WORKER_GRACES:", "the nearest one is STEPWELL_WORKER_GRACE"},
		{"compose", "STEPWELL_WORKER_GRACE: 30s", "STEPWELL_WORKER_GRACE: 40s", "worker: stop_grace_period 45s is not 10s longer than worker.grace 40s"},
		{"compose", "--maxmemory-policy, noeviction", "--maxmemory-policy, allkeys-lru", "redis: --maxmemory-policy is not noeviction"},
		{"compose", `--appendonly, "yes"`, `--appendonly, "no"`, "redis: --appendonly is not yes"},
		{"compose", "--appendfsync, everysec, ", "", "redis: --appendfsync is not everysec"},
		{"compose", `volumes: ["redis:/data"]`, `volumes: ["/data"]`, "redis: /data is not on a named volume"},
		{"compose", "replicas: 2", "replicas: 1", "worker: it does not have 2 replicas"},
		{"compose", "image: stepwell-worker\n", "image: stepwell-worker\n    ports: ['127.0.0.1:9000:8081']\n", "worker: it has a port on the host"},
		{"compose", `"127.0.0.1:${API_PORT:-8080}:8080"`, `"${API_PORT:-8080}:8080"`, "api: port 8080 is open beyond the loopback"},
		{"compose", `"127.0.0.1:${API_PORT:-8080}:8080"`, `"127.0.0.1:8080:80"`, "api: port 80 is published, its port is 8080"},
		{"compose", "read_only: true", "read_only: false", "gateway: its file system can be written to"},
		{"compose", "cap_drop: [ALL]\n  security", "cap_drop: [NET_RAW]\n  security", "api: it has capabilities"},
		{"compose", "mail: {condition: service_healthy}", "mail: {condition: service_started}", "worker: it does not wait for mail"},
		{"compose", "test: [CMD, pg_isready, -h, 127.0.0.1, -U, shop, -d, shop]", "disable: true", "postgres: no health check"},
		{"compose", "image: redis:7.4-alpine", "image: redis", `redis: image "redis" is not pinned`},
		{"compose", "target: worker", "target: api", "worker: it is built from target api"},
		{"docker", "USER 65532:65532", "USER root", `api: user "root" of its image is not a number`},
		{"docker", "USER 65532:65532", "", `worker: user "" of its image is not a number`},
		{"docker", "127.0.0.1:8081/healthz", "127.0.0.1:8080/healthz", "worker: its health check asks"},
		{"docker", "./cmd/api ", "", `api: ["/api"] is not a program of its image`},
		{"docker", "ENV STEPWELL_WORKER_ADDR", "ENV STEPWELL_WORKER_PORT", "worker: its environment is refused"},
	} {
		t.Run(slip.old+" → "+slip.now, func(t *testing.T) {
			t.Parallel()
			texts := map[string]string{"compose": compose, "docker": dockerfile}
			if !strings.Contains(texts[slip.file], slip.old) {
				t.Fatalf("%s does not contain %q any more", slip.file, slip.old)
			}
			texts[slip.file] = strings.Replace(texts[slip.file], slip.old, slip.now, 1)
			project, err := load(t, texts["compose"])
			if err != nil {
				t.Fatal(err)
			}
			problems := strings.Join(composetest.Problems(project, images(t, texts["docker"])), "\n")
			if !strings.Contains(problems, slip.want) {
				t.Errorf("want a problem with %q, got:\n%s", slip.want, problems)
			}
		})
	}
}

func TestSlipsThatDoNotLoad(t *testing.T) {
	t.Parallel()
	compose := read(t, "deploy/compose.yaml")
	for _, slip := range []struct{ old, now, want string }{
		{"stop_grace_period: 45s\n", "stop_grace: 45s\n", "stop_grace"},
		{"condition: service_healthy", "condition: service_fit", "condition"},
		{"${POSTGRES_PASSWORD:-stepwell}", "${POSTGRES_PASSWORD}", "POSTGRES_PASSWORD has no default"},
		{`volumes: ["redis:/data"]`, `volumes: ["reddis:/data"]`, "reddis"},
		{"image: stepwell-worker\n", "image: stepwell-worker\n    container_name: worker\n", "can't set container_name"},
		{"depends_on:\n      redis:", "depends_on:\n      reddis:", "reddis"},
	} {
		t.Run(slip.now, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(compose, slip.old) {
				t.Fatalf("the file does not contain %q any more", slip.old)
			}
			_, err := load(t, strings.Replace(compose, slip.old, slip.now, 1))
			if err == nil || !strings.Contains(err.Error(), slip.want) {
				t.Errorf("want an error with %q, got %v", slip.want, err)
			}
		})
	}
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := read(t, "deploy/Dockerfile")
	targets, last, err := composetest.ParseDockerfile(text)
	if err != nil {
		t.Fatal(err)
	}
	if last != "api" {
		t.Errorf("the last target, which a plain build makes, is %s, not api", last)
	}
	for _, name := range targets["build"].Binaries() {
		if _, err := os.Stat(filepath.Join(root, "cmd", name, "main.go")); err != nil {
			t.Errorf("the image is built with a program that is not there: %v", err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(root, "cmd"))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(targets["build"].Binaries()); got != len(entries) {
		t.Errorf("the image has %d of %d programs", got, len(entries))
	}
	if targets["base"].From != "scratch" {
		t.Errorf("the image builds upon %s, not upon scratch", targets["base"].From)
	}
	if !strings.Contains(strings.Join(targets["build"].Build, "\n"), "CGO_ENABLED=0") {
		t.Error("the programs are not static: no CGO_ENABLED=0")
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if and .CgoFiles (not .Standard)}}{{.ImportPath}}{{end}}", "./cmd/...")
	list.Dir = root
	if out, err := list.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("packages that cannot do without C: %s (%v)", out, err)
	}
	for _, path := range []string{"/etc/ssl/certs/ca-certificates.crt", "/workflows/", "/data", "/"} {
		if !slices.Contains(targets["api"].Copied, path) {
			t.Errorf("the image has no %s", path)
		}
	}
	gomod := read(t, "go.mod")
	_, version, _ := strings.Cut(gomod, "\ngo ")
	version, _, _ = strings.Cut(version, "\n")
	minor := version[:strings.LastIndexByte(version, '.')]
	if want := "golang:" + minor; targets["build"].From != want {
		t.Errorf("the builder is %s; go.mod wants %s", targets["build"].From, want)
	}
}
