//go:build integration

package examples_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/internal/demo"
)

const (
	patience = 60 * time.Second // for anything that is awaited
	look     = 50 * time.Millisecond
)

// Each example runs as its reader would run it, against one stack of real processes.
func TestExamples(t *testing.T) {
	t.Parallel()
	stack := startStack(t)
	t.Run("rest", func(t *testing.T) {
		t.Parallel()
		testREST(t, stack)
	})
	t.Run("asynqtask", func(t *testing.T) {
		t.Parallel()
		testTask(t, stack)
	})
	t.Run("goclient", func(t *testing.T) {
		t.Parallel()
		testClient(t, stack)
	})
}

func startStack(t *testing.T) *demo.Stack {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "stepwell")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/stepwell")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build stepwell: %v\n%s", err, out)
	}
	stack, err := demo.StartStack(t.Context(), demo.Options{
		Binary: binary, Dir: t.TempDir(), RequireRealRedis: os.Getenv("REQUIRE_REDIS") == "1", Warn: func(text string) { t.Log(text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if _, err := stack.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	return stack
}

// example runs a command at the root of the repository and returns what it printed.
func example(t *testing.T, env string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience) // go run compiles
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = "..", append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

func wantAll(t *testing.T, out string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("want %q in:\n%s", part, out)
		}
	}
}

// runIn finds the run that an example printed.
func runIn(t *testing.T, out string) string {
	t.Helper()
	m := regexp.MustCompile(`run_[0-9a-f]{2}_[0-9A-Z]{26}`).FindString(out)
	if m == "" {
		t.Fatalf("no run in:\n%s", out)
	}
	return m
}

func mailsTo(stack *demo.Stack, address string) (n int) {
	for _, m := range stack.Mail.Mails() {
		if strings.Contains(m.To, address) {
			n++
		}
	}
	return n
}

func testREST(t *testing.T, stack *demo.Stack) {
	t.Helper()
	place := func() string {
		return example(t, "STEPWELL_URL="+stack.APIURL, "examples/rest/place_order.sh", "cart-4711")
	}
	first := place()
	wantAll(t, first, "completed", "ORD-", "324.56", "HTTP 200", "HTTP 422", "/cart_items/0/quantity", "/payment_info/method")
	again := place()
	if runIn(t, first) != runIn(t, again) {
		t.Errorf("one key, two runs:\n%s\n%s", first, again)
	}
	if n := mailsTo(stack, "ada@example.com"); n != 1 {
		t.Errorf("%d mails, want 1", n)
	}
}

func testTask(t *testing.T, stack *demo.Stack) {
	t.Helper()
	enqueue := func() {
		out := example(t, "REDIS_URL="+stack.Redis.URL, "go", "run", "./examples/asynqtask", "order-1001")
		wantAll(t, out, "queue stepwell", "order-1001")
	}
	enqueue()
	eventually(t, "the confirmation mail", func() error {
		if mailsTo(stack, "grace@example.com") == 0 {
			return errors.New("there is none")
		}
		return nil
	})
	enqueue()
	redis, err := asynq.ParseRedisURI(stack.Redis.URL)
	if err != nil {
		t.Fatal(err)
	}
	inspector := asynq.NewInspector(redis)
	defer inspector.Close()
	eventually(t, "the second task to be done with", func() error {
		q, err := inspector.GetQueueInfo("stepwell")
		if err != nil {
			return err
		}
		if q.Processed != 2 || q.Failed != 0 || q.Size != 0 {
			return fmt.Errorf("%d tasks processed, %d failed, %d there", q.Processed, q.Failed, q.Size)
		}
		return nil
	})
	if n := mailsTo(stack, "grace@example.com"); n != 1 {
		t.Errorf("%d mails for one key, want 1", n)
	}
	eventually(t, "the run to be answered under the task's key", func() error { return replay(t, stack.APIURL, "order-1001") })
}

// replay starts the run of the example over REST, with its key, and wants the finished run back.
func replay(t *testing.T, api, key string) error {
	t.Helper()
	_, rest, _ := strings.Cut(read(t, "examples/asynqtask/main.go"), "const order = `")
	input, _, _ := strings.Cut(rest, "`")
	body, err := json.Marshal(map[string]any{"workflow": "ecommerce/process_order", "input": json.RawMessage(input)})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api+"/v1/runs", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var run struct {
		State string `json:"state"`
	}
	if err := json.Unmarshal(raw, &run); err != nil {
		return fmt.Errorf("%s: %w", raw, err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Idempotent-Replayed") != "true" || run.State != "succeeded" {
		return fmt.Errorf("status %s, Idempotent-Replayed %q, run %s", resp.Status, resp.Header.Get("Idempotent-Replayed"), run.State)
	}
	return nil
}

func testClient(t *testing.T, stack *demo.Stack) {
	t.Helper()
	bill := func(args ...string) string {
		return example(t, "REDIS_URL="+stack.Redis.URL, append([]string{"go", "run", "./examples/goclient"}, args...)...)
	}
	first := bill("inv-42")
	wantAll(t, first, "billing/invoice@1.0.0 succeeded", "Ada paid 360.00")
	if again := bill("inv-42"); runIn(t, first) != runIn(t, again) {
		t.Errorf("one key, two runs:\n%s\n%s", first, again)
	}
	wantAll(t, bill("-workflow", "examples/goclient/invoice.yaml", "inv-43"), "billing/invoice@1.1.0 succeeded", "Ada paid 360.00")
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
