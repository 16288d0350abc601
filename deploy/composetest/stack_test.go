package composetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/stepwell/stepwell/deploy/composetest"
	"github.com/stepwell/stepwell/internal/demo"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
)

const (
	patience = 60 * time.Second // for anything that is awaited
	look     = 50 * time.Millisecond
)

// The programs of the images run with the environment, arguments and health checks of their containers and nothing else, and an order
// goes through all of them.
func TestProgramsOfTheImages(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	gateway := s.start("gateway", 1)
	api := s.start("api", 1)
	replicas := *s.project.Services["worker"].Deploy.Replicas
	processes := []*process{api, gateway}
	for n := range replicas {
		processes = append(processes, s.start("worker", n+1))
	}
	for _, p := range processes {
		s.awaitHealth(p)
	}

	run := placeOrder(t, api.url)
	order := awaitOrder(t, api.url, run)
	if order.Status != "completed" || order.OrderNumber == "" || order.TotalAmount != "324.56" {
		t.Errorf("order %+v, want completed, with a number, for 324.56", order)
	}
	var charges struct {
		Data []struct {
			Amount json.Number `json:"amount"`
			Run    string      `json:"run"`
		} `json:"data"`
	}
	getJSON(t, gateway.url+"/v1/charges", &charges)
	if len(charges.Data) != 1 || charges.Data[0].Amount != "324.56" || charges.Data[0].Run != run {
		t.Errorf("charges %+v, want one of 324.56 for run %s", charges.Data, run)
	}
	if mails := s.mail.Mails(); len(mails) != 1 || !strings.Contains(mails[0].To, "ada@example.com") {
		t.Errorf("mails %+v, want one to ada@example.com", mails)
	}
	eventually(t, "both workers in /v1/status", func() error {
		var status struct {
			Workers []struct {
				ID string `json:"id"`
			} `json:"workers"`
		}
		getJSON(t, api.url+"/v1/status", &status)
		if len(status.Workers) != replicas {
			return fmt.Errorf("%d workers listed, want %d", len(status.Workers), replicas)
		}
		return nil
	})
	stopAll(t, processes)
}

// stack is what the compose file starts, as processes of this machine.
type stack struct {
	t       *testing.T
	project *types.Project
	images  map[string]*composetest.Image
	bin     string
	data    string
	mail    *demo.MailSink
	hosts   map[string]string // host:port of the compose network → of this machine
}

func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{t: t, project: mustLoad(t), images: images(t, read(t, "deploy/Dockerfile")), data: t.TempDir()}
	redisService, postgresService := s.project.Services["redis"], s.project.Services["postgres"]
	redis := redistest.Own(t, localredis.Options{ExtraArgs: redisService.Command[1:]})
	postgres := startPostgres(t, &postgresService)
	var err error
	if s.mail, err = demo.StartMailSink(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.mail.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	redisAddr := strings.TrimSuffix(strings.TrimPrefix(redis.URL, "redis://"), "/0")
	s.hosts = map[string]string{"redis:6379": redisAddr, "postgres:5432": postgres, "mail:1025": s.mail.Addr, "gateway:8090": redistest.FreeAddr(t)}
	s.build()
	return s
}

// build compiles the programs of the image.
func (s *stack) build() {
	s.t.Helper()
	s.bin = s.t.TempDir()
	args := []string{"build", "-o", s.bin + "/"}
	for _, name := range s.images["build"].Binaries() {
		args = append(args, "./cmd/"+name)
	}
	build := exec.CommandContext(s.t.Context(), "go", args...)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// local replaces what a container sees by what this machine has: its port, the other containers' addresses, paths of the image.
func (s *stack) local(text, port, addr string) string {
	s.t.Helper()
	switch {
	case strings.HasPrefix(text, "/workflows"):
		dir, err := filepath.Abs(root)
		if err != nil {
			s.t.Fatal(err)
		}
		return dir + text
	case strings.HasPrefix(text, "/data/"):
		return s.data + strings.TrimPrefix(text, "/data")
	case strings.HasPrefix(text, "/"):
		return s.bin + text
	}
	for _, own := range []string{"0.0.0.0:" + port, "127.0.0.1:" + port} {
		text = strings.Replace(text, own, addr, 1)
	}
	for theirs, here := range s.hosts {
		text = strings.Replace(text, theirs, here, 1)
	}
	return text
}

func (s *stack) start(service string, n int) *process {
	s.t.Helper()
	config := s.project.Services[service]
	image := s.images[config.Build.Target]
	port := image.Ports[0]
	addr, wired := s.hosts[service+":"+port]
	if !wired {
		addr = redistest.FreeAddr(s.t)
	}
	var command, health []string
	for _, arg := range append(append([]string(nil), image.Entrypoint...), config.Command...) {
		command = append(command, s.local(arg, port, addr))
	}
	for _, arg := range image.Health {
		health = append(health, s.local(arg, port, addr))
	}
	environ := []string{} // not nil: that would mean our own environment
	for _, pair := range composetest.Environment(&config, image) {
		name, value, _ := strings.Cut(pair, "=")
		environ = append(environ, name+"="+s.local(value, port, addr))
	}
	p := &process{name: fmt.Sprintf("%s-%d", service, n), url: "http://" + addr, health: health, grace: time.Duration(*config.StopGracePeriod), done: make(chan struct{})}
	p.launch(s.t, command, environ, s.t.TempDir())
	return p
}

// awaitHealth asks what the engine would ask, until the container would be healthy.
func (s *stack) awaitHealth(p *process) {
	s.t.Helper()
	eventually(s.t, p.name+" to be healthy", func() error {
		select {
		case <-p.done:
			s.t.Fatalf("%s has ended: %v", p.name, p.err)
		default:
		}
		out, err := exec.CommandContext(s.t.Context(), p.health[0], p.health[1:]...).CombinedOutput()
		return textError(out, err)
	})
}

type process struct {
	name   string
	url    string
	health []string
	grace  time.Duration
	cmd    *exec.Cmd
	done   chan struct{}
	err    error // read after done
}

// launch starts the process in an empty directory. Its log is shown when the test fails.
func (p *process) launch(t *testing.T, command, environ []string, dir string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Env, p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = environ, dir, log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		if raw, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("log of %s %q:\n%s", p.name, environ, raw[max(0, len(raw)-8<<10):])
		}
	})
}

// stopAll does what docker compose down does, and wants every process to end by itself, well.
func stopAll(t *testing.T, processes []*process) {
	t.Helper()
	for _, p := range processes {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("SIGTERM to %s: %v", p.name, err)
		}
	}
	for _, p := range processes {
		select {
		case <-p.done:
			if p.err != nil || p.cmd.ProcessState.ExitCode() != 0 {
				t.Errorf("%s ended with %v after SIGTERM, want exit code 0", p.name, p.err)
			}
		case <-time.After(p.grace):
			t.Errorf("%s did not end within its stop_grace_period of %s", p.name, p.grace)
		}
	}
}

const sampleOrder = `{
  "cart_items": [{"product_id": 1, "quantity": 2}, {"product_id": 3, "quantity": 1}],
  "payment_info": {"method": "credit_card", "amount": 324.56, "currency": "USD", "token": "test_success_visa_4242424242424242"},
  "customer_info": {"email": "ada@example.com", "name": "Ada Lovelace"}
}`

type order struct {
	RunID       string      `json:"run_id"`
	Status      string      `json:"status"`
	OrderNumber string      `json:"order_number"`
	TotalAmount json.Number `json:"total_amount"`
}

func placeOrder(t *testing.T, api string) (run string) {
	t.Helper()
	eventually(t, "the API to take an order", func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api+"/v1/orders", strings.NewReader(sampleOrder))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "order-of-the-compose-test")
		var placed order
		if err := exchange(req, &placed); err != nil {
			return err
		}
		run = placed.RunID
		return nil
	})
	return run
}

func awaitOrder(t *testing.T, api, run string) (o order) {
	t.Helper()
	eventually(t, "the order to end", func() error {
		getJSON(t, api+"/v1/orders/"+run, &o)
		if o.Status == "processing" {
			return errors.New("it is being processed")
		}
		return nil
	})
	return o
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange(req, into); err != nil {
		t.Fatal(err)
	}
}

func exchange(req *http.Request, into any) error {
	ctx, cancel := context.WithTimeout(req.Context(), 5*time.Second)
	defer cancel()
	resp, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", req.Method, req.URL, resp.Status, raw)
	}
	return json.Unmarshal(raw, into)
}

// eventually tries until try returns nil.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("waited %s for %s: %v", patience, what, err)
		}
	}
}

// textError is an error with what the program said, nil without one.
func textError(out []byte, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
}

func split(t *testing.T, addr string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}
