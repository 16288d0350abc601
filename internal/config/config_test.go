package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/stepwell/stepwell/internal/config"
)

func TestDefaults(t *testing.T) {
	t.Parallel()
	got, err := config.LoadWorker(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got.Pool.Concurrency = 0 // depends on the machine
	want := config.Worker{
		Redis: config.Redis{URL: "redis://127.0.0.1:6379/0", Prefix: "sw", Durability: "relaxed", DurabilityReplicas: 1},
		Pool: config.Pool{
			Queues: []config.Queue{{"ecommerce-critical", 6}, {"ecommerce", 3}, {"stepwell", 3}},
			Grace:  30 * time.Second, Heartbeat: 5 * time.Second, TTL: 20 * time.Second,
		},
		Runs: config.Runs{Retention: 168 * time.Hour, RetentionFailed: 720 * time.Hour},
		Shop: config.Shop{
			Enabled: true, Database: "sqlite:data/shop.db", GatewayURL: "http://127.0.0.1:8090",
			SMTPAddr: "127.0.0.1:1025", MailFrom: "shop@example.com",
		},
		Log: config.Log{Level: "info", Format: "auto"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestStrictReplicas(t *testing.T) {
	t.Parallel()
	for want, r := range map[int]config.Redis{
		0: {Durability: config.DurabilityRelaxed, DurabilityReplicas: 3},
		2: {Durability: config.DurabilityStrict, DurabilityReplicas: 2},
	} {
		if got := r.StrictReplicas(); got != want {
			t.Errorf("%+v: %d replicas, want %d", r, got, want)
		}
	}
}

// TestEveryFieldIsAKey walks the struct: a field without a default would lose its environment
// variable silently.
func TestEveryFieldIsAKey(t *testing.T) {
	t.Parallel()
	var fields []string
	var walk func(prefix string, typ reflect.Type)
	walk = func(prefix string, typ reflect.Type) {
		for field := range typ.Fields() {
			name := prefix + field.Tag.Get("mapstructure")
			if field.Type.Kind() == reflect.Struct {
				walk(name+".", field.Type)
			} else {
				fields = append(fields, name)
			}
		}
	}
	walk("", config.SettingsType())
	slices.Sort(fields)
	if diff := cmp.Diff(fields, slices.Sorted(maps.Keys(config.Keys()))); diff != "" {
		t.Errorf("fields of the struct and keys differ (-fields +keys):\n%s", diff)
	}
}

func TestEveryKeyComesFromEveryLayer(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"redis.url": "rediss://h:1/2", "redis.prefix": "t1", "redis.tls_ca": "ca", "redis.tls_cert": "crt", "redis.tls_key": "key",
		"redis.durability": "strict", "redis.durability_replicas": "2",
		"api.addr": ":9", "worker.addr": ":8", "worker.concurrency": "7", "worker.queues": "a=1,b=2", "worker.grace": "6s",
		"worker.heartbeat": "1s", "worker.ttl": "4s", "workflows.dir": "w", "shop.enabled": "false", "shop.database": "postgres://d/e",
		"asynqmon.buttons": "true", "runs.retention": "1h", "runs.retention_failed": "0s",
		"shop.gateway_url": "https://g", "shop.smtp_addr": "m:25", "shop.mail_from": "a@b.example", "log.level": "debug", "log.format": "json", "dev": "true",
	}
	var environ, args, file []string
	for key, env := range config.Keys() {
		value, ok := values[key]
		if !ok {
			t.Fatalf("no value for %s", key)
		}
		environ = append(environ, env+"="+value)
		args = append(args, "--"+strings.NewReplacer(".", "-", "_", "-").Replace(key)+"="+value)
		section, leaf, nested := strings.Cut(key, ".")
		if nested {
			file = append(file, fmt.Sprintf("%s: {%s: %s}", section, leaf, quoted(value)))
		} else {
			file = append(file, section+": "+value)
		}
	}
	wantAPI := config.API{
		Redis: config.Redis{URL: "rediss://h:1/2", Prefix: "t1", TLSCA: "ca", TLSCert: "crt", TLSKey: "key", Durability: "strict", DurabilityReplicas: 2},
		HTTP:  config.HTTP{Addr: ":9"}, Workflows: config.Workflows{Dir: "w"},
		Asynqmon: config.Asynqmon{Buttons: true}, Runs: config.Runs{Retention: time.Hour},
		Shop: config.Shop{Database: "postgres://d/e", GatewayURL: "https://g", SMTPAddr: "m:25", MailFrom: "a@b.example"},
		Log:  config.Log{Level: "debug", Format: "json"}, Dev: true,
	}
	wantWorker := config.Worker{
		Redis: wantAPI.Redis, Runs: wantAPI.Runs, Shop: wantAPI.Shop, Log: wantAPI.Log, Dev: true,
		Pool: config.Pool{
			Addr: ":8", Concurrency: 7, Queues: []config.Queue{{"a", 1}, {"b", 2}},
			Grace: 6 * time.Second, Heartbeat: time.Second, TTL: 4 * time.Second,
		},
	}
	check := func(layer string, environ []string, flags func(register func(*pflag.FlagSet), foreign string) *pflag.FlagSet) {
		gotAPI, err := config.LoadAPI(flags(config.APIFlags, "--worker-"), environ)
		if err != nil {
			t.Fatalf("%s: %v", layer, err)
		}
		gotWorker, err := config.LoadWorker(flags(config.WorkerFlags, "--api-,--workflows-,--asynqmon-"), environ)
		if err != nil {
			t.Fatalf("%s: %v", layer, err)
		}
		if diff := cmp.Diff(wantAPI, gotAPI); diff != "" {
			t.Errorf("API from %s (-want +got):\n%s", layer, diff)
		}
		if diff := cmp.Diff(wantWorker, gotWorker); diff != "" {
			t.Errorf("worker from %s (-want +got):\n%s", layer, diff)
		}
	}
	check("environment", environ, func(register func(*pflag.FlagSet), _ string) *pflag.FlagSet { return parse(t, register) })
	check("flags", nil, func(register func(*pflag.FlagSet), foreign string) *pflag.FlagSet {
		own := slices.DeleteFunc(slices.Clone(args), func(arg string) bool {
			return slices.ContainsFunc(strings.Split(foreign, ","), func(prefix string) bool { return strings.HasPrefix(arg, prefix) })
		})
		return parse(t, register, own...)
	})
	path := writeFile(t, mergeSections(file))
	check("file", nil, func(register func(*pflag.FlagSet), _ string) *pflag.FlagSet {
		return parse(t, register, "--config", path)
	})
}

func TestFlagWinsOverEnvWinsOverFile(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "worker:\n  ttl: 31s\n  grace: 32s\n  heartbeat: 3s\n")
	fs := parse(t, config.WorkerFlags, "--config", path, "--worker-ttl", "51s")
	got, err := config.LoadWorker(fs, []string{"STEPWELL_WORKER_TTL=41s", "STEPWELL_WORKER_GRACE=42s", "STEPWELL_WORKER_HEARTBEAT=", "HOME=/"})
	if err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{51 * time.Second, 42 * time.Second, 3 * time.Second}
	if diff := cmp.Diff(want, []time.Duration{got.Pool.TTL, got.Pool.Grace, got.Pool.Heartbeat}); diff != "" {
		t.Errorf("ttl, grace, heartbeat (-want +got):\n%s", diff)
	}
}

func TestEmptySectionsAndValuesKeepDefaults(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "redis:\nlog: {}\nworker:\n  ttl:\n  queues: [a=1, \"b = 2\"]\n")
	got, err := config.LoadWorker(parse(t, config.WorkerFlags, "--config", path), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Redis.Prefix != "sw" || got.Log.Level != "info" || got.Pool.TTL != 20*time.Second {
		t.Errorf("an empty section hid defaults: %v", got)
	}
	if diff := cmp.Diff([]config.Queue{{"a", 1}, {"b", 2}}, got.Pool.Queues); diff != "" {
		t.Errorf("queues as a list (-want +got):\n%s", diff)
	}
}

func TestStackHasNoRedisUnlessSet(t *testing.T) {
	t.Parallel()
	got, err := config.LoadStack(parse(t, config.StackFlags), nil)
	if err != nil || got.Redis.URL != "" {
		t.Errorf("URL = %q, %v; want none", got.Redis.URL, err)
	}
	got, err = config.LoadStack(nil, []string{"STEPWELL_REDIS_URL=redis://h"})
	if err != nil || string(got.Redis.URL) != "redis://h" {
		t.Errorf("URL = %q, %v; want the one that was set", got.Redis.URL, err)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		file string
		env  []string
		want []string // one for each problem, a part of its line
	}{
		{"unknown key", "redis: {ulr: x}\n", nil, []string{`redis.ulr (from FILE) is not a setting; the nearest one is redis.url`}},
		{"unknown top", "loglevel: x\n", nil, []string{`loglevel (from FILE) is not a setting; the nearest one is log.level`}},
		{"below a setting", "worker: {queues: {a: 1}}\n", nil, []string{`worker.queues.a (from FILE) is below the setting worker.queues, which must be a list of name=weight`}},
		{"section as value", "worker: 5\n", nil, []string{`worker (from FILE) is a section`}},
		{"unknown variable", "", []string{"STEPWELL_WORKER_TLL=5s"}, []string{`STEPWELL_WORKER_TLL (from the environment) is not a setting; the nearest one is STEPWELL_WORKER_TTL`}},
		{"bad duration", "", []string{"STEPWELL_WORKER_TTL=20"}, []string{`worker.ttl = "20" (from STEPWELL_WORKER_TTL) must be a duration such as 500ms, 30s or 5m; to mend it set STEPWELL_WORKER_TTL`}},
		{"retention short", "runs: {retention: 1s}\n", nil, []string{`runs.retention = "1s" (from FILE) must be 1m0s to 87840h0m0s, or 0 to keep runs for ever; to mend it set STEPWELL_RUNS_RETENTION`}},
		{"retention negative", "", []string{"STEPWELL_RUNS_RETENTION_FAILED=-1ns"}, []string{`runs.retention_failed = "-1ns" (from STEPWELL_RUNS_RETENTION_FAILED) must be 1m0s`}},
		{"bare number", "worker: {grace: 30}\n", nil, []string{`worker.grace = "30" (from FILE) must be a duration`}},
		{"fraction", "worker: {concurrency: 1.5}\n", nil, []string{`worker.concurrency = "1.5" (from FILE) must be a whole number`}},
		{"word for number", "", []string{"STEPWELL_WORKER_CONCURRENCY=ten"}, []string{`worker.concurrency = "ten" (from STEPWELL_WORKER_CONCURRENCY) must be a whole number`}},
		{"number for bool", "dev: 1\n", nil, []string{`dev = "1" (from FILE) must be true or false`}},
		{"number for text", "redis: {prefix: 7}\n", nil, []string{`redis.prefix = "7" (from FILE) must be a text (in the file, put it in quotes)`}},
		{"weight of 0", "", []string{"STEPWELL_WORKER_QUEUES=a=3,b=0"}, []string{`worker.queues = "a=3,b=0" (from STEPWELL_WORKER_QUEUES) gives b the weight 0: a weight is 1 to 1000`}},
		{"no weight", "worker: {queues: [a]}\n", nil, []string{`must be a list of name=weight such as ecommerce-critical=6,ecommerce=3: "a" has no weight; to mend it set STEPWELL_WORKER_QUEUES`}},
		{"weight a word", "worker: {queues: a=b}\n", nil, []string{`the weight of "a=b" is not a whole number`}},
		{"queue twice", "worker: {queues: \"a=1,a=2\"}\n", nil, []string{`names the queue a twice`}},
		{"queue name", "worker: {queues: A=1}\n", nil, []string{`names the queue "A": a name is`}},
		{"log level", "", []string{"STEPWELL_LOG_LEVEL=warning"}, []string{`log.level = "warning" (from STEPWELL_LOG_LEVEL) must be one of debug, info, warn, error; the nearest is warn`}},
		{"ttl against heartbeat", "worker: {heartbeat: 10s}\n", nil, []string{`worker.ttl = "20s" (from the default) must be 30s (3 × worker.heartbeat) to 10m0s; to mend it set STEPWELL_WORKER_TTL`}},
		{"scheme", "redis: {url: \"http://u:topsecret@h\"}\n", nil, []string{`redis.url = "http://u:xxxxx@h" (from FILE) must start with redis://`}},
		{"sentinel without master", "", []string{"STEPWELL_REDIS_URL=redis+sentinel://a:1,b:2"}, []string{`must name the master after the hosts`}},
		{"hosts", "", []string{"STEPWELL_REDIS_URL=redis+cluster://a:1,:2"}, []string{`must name hosts as host or host:port`}},
		{"TLS to Sentinels, without master", "", []string{"STEPWELL_REDIS_URL=rediss+sentinel://a:1"}, []string{`must name the master after the hosts`}},
		{"prefix", "", []string{"STEPWELL_REDIS_PREFIX=A.b"}, []string{`must be 1 to 16 of a-z, 0-9 and dash`}},
		{"durability", "", []string{"STEPWELL_REDIS_DURABILITY=strickt"}, []string{`must be one of relaxed, strict; the nearest is strict`}},
		{"replicas", "", []string{"STEPWELL_REDIS_DURABILITY_REPLICAS=0"}, []string{`must be 1 to 10`}},
		{"half a certificate", "redis: {tls_cert: c.pem}\n", nil, []string{`redis.tls_key (from the default) must be set, because redis.tls_cert is; to mend it set STEPWELL_REDIS_TLS_KEY`}},
		{"dsn", "", []string{"STEPWELL_SHOP_DATABASE=host=h password=topsecret"}, []string{`shop.database = "(hidden)" (from STEPWELL_SHOP_DATABASE) must be sqlite:PATH or postgres://`}},
		{"not YAML", "redis: [\n", nil, []string{`FILE (from --config) is not a YAML file of settings: line`}},
		{
			"all at once", "redis: {prefix: \"{x}\"}\nnothing: 1\n",
			[]string{"STEPWELL_API_ADDR=8080", "STEPWELL_SHOP_GATEWAY_URL=g", "STEPWELL_SHOP_MAIL_FROM=x", "STEPWELL_SHOP_SMTP_ADDR=m", "STEPWELL_WORKER_GRACE=1s", "STEPWELL_DEV=maybe", "STEPWELL_WORKER_CONCURRENCY=0"},
			[]string{"nothing", "dev = ", "redis.prefix", "api.addr", "worker.concurrency", "worker.grace", "shop.gateway_url", "shop.smtp_addr", "shop.mail_from"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var args []string
			path := ""
			if tt.file != "" {
				path = writeFile(t, tt.file)
				args = []string{"--config", path}
			}
			for _, load := range []func() error{
				func() error { _, err := config.LoadWorker(parse(t, config.WorkerFlags, args...), tt.env); return err },
				func() error { _, err := config.LoadAPI(parse(t, config.APIFlags, args...), tt.env); return err },
			} {
				err := load()
				problems, ok := errors.AsType[*config.Error](err)
				if !ok {
					t.Fatalf("error = %v; want a *config.Error", err)
				}
				if len(problems.Problems) != len(tt.want) {
					t.Errorf("%d problems, want %d", len(problems.Problems), len(tt.want))
				}
				text := err.Error()
				if path != "" {
					text = strings.ReplaceAll(text, path, "FILE")
				}
				for i, line := range strings.Split(text, "\n")[1:] {
					if i < len(tt.want) && !strings.Contains(line, tt.want[i]) {
						t.Errorf("problem %d: %s\nwant in it: %s", i, line, tt.want[i])
					}
				}
				if strings.Contains(err.Error(), "topsecret") {
					t.Errorf("the error shows a password: %v", err)
				}
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "absent.yaml")
	for arg, want := range map[string]string{path: path + " (from --config) does not exist", "": "--config names no file"} {
		_, err := config.LoadAPI(parse(t, config.APIFlags, "--config", arg), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--config %q: error %v; want %q in it", arg, err, want)
		}
	}
}

func TestShopIsCheckedOnlyWhenEnabled(t *testing.T) {
	t.Parallel()
	environ := []string{"STEPWELL_SHOP_GATEWAY_URL=no", "STEPWELL_SHOP_ENABLED=false"}
	if _, err := config.LoadAPI(nil, environ); err != nil {
		t.Error(err)
	}
}

func TestPasswordsAreHidden(t *testing.T) {
	t.Parallel()
	cfg, err := config.LoadWorker(nil, []string{
		"STEPWELL_REDIS_URL=redis://user:topsecret@h:1", "STEPWELL_SHOP_DATABASE=postgres://u:top@secret/x@h/db?password=topsecret&sslmode=off",
		"STEPWELL_SHOP_GATEWAY_URL=http://:topsecret@g",
	})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "config", cfg, "redis", cfg.Redis)
	prints := []string{cfg.String(), log.String(), fmt.Sprintf("%v %+v %#v %s", cfg, cfg, cfg, cfg), fmt.Sprintf("%+v %#v", cfg.Redis, cfg.Shop)}
	for _, text := range prints {
		if strings.Contains(text, "topsecret") || strings.Contains(text, "secret/x") {
			t.Errorf("shows a password: %s", text)
		}
	}
	for _, want := range []string{"redis.url=redis://user:xxxxx@h:1", "shop.database=postgres://u:xxxxx@h/db?password=xxxxx&sslmode=off", "worker.queues=ecommerce-critical=6,ecommerce=3,stepwell=3"} {
		if !strings.Contains(cfg.String(), want) {
			t.Errorf("String() = %s; want %s in it", cfg, want)
		}
	}
}

func TestHelpSaysMeaningDefaultAndVariable(t *testing.T) {
	t.Parallel()
	fs := pflag.NewFlagSet("worker", pflag.ContinueOnError)
	config.WorkerFlags(fs)
	help := fs.FlagUsages()
	for _, want := range []string{"--worker-ttl duration", "taken over after that", "[STEPWELL_WORKER_TTL]", "(default 20s)", "--config file"} {
		if !strings.Contains(help, want) {
			t.Errorf("help lacks %q:\n%s", want, help)
		}
	}
	if strings.Contains(help, "--api-addr") {
		t.Error("the worker has a flag of the API")
	}
}

func parse(t *testing.T, register func(*pflag.FlagSet), args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet(t.Name(), pflag.ContinueOnError)
	register(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// quoted leaves what YAML reads as number or bool bare.
func quoted(value string) string {
	if value == "7" || value == "false" {
		return value
	}
	return fmt.Sprintf("%q", value)
}

// mergeSections turns "a: {b: 1}" and "a: {c: 2}" into one section a.
func mergeSections(lines []string) string {
	sections := map[string][]string{}
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, ": ")
		sections[name] = append(sections[name], strings.Trim(rest, "{}"))
	}
	var b strings.Builder
	for name, items := range sections {
		if name == "dev" {
			fmt.Fprintf(&b, "dev: %s\n", items[0])
			continue
		}
		fmt.Fprintf(&b, "%s: {%s}\n", name, strings.Join(items, ", "))
	}
	return b.String()
}
