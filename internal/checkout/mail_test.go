package checkout_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/stepwell/stepwell/internal/checkout"
)

// sink is a mail server that keeps what it gets, or answers with errors.
type sink struct {
	mu       sync.Mutex
	messages [][]byte
	greeting error         // to a new connection
	rcpt     error         // to RCPT TO
	data     error         // after DATA
	stall    chan struct{} // DATA waits for it
}

func (s *sink) NewSession(*smtp.Conn) (smtp.Session, error) {
	if s.greeting != nil {
		return nil, s.greeting
	}
	return &session{s}, nil
}

func (s *sink) kept() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages
}

type session struct{ sink *sink }

func (*session) Reset()                               {}
func (*session) Logout() error                        { return nil }
func (*session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) Rcpt(string, *smtp.RcptOptions) error {
	return s.sink.rcpt
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.sink.stall != nil {
		<-s.sink.stall
	}
	if s.sink.data != nil {
		return s.sink.data
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.messages = append(s.sink.messages, raw)
	return nil
}

func (s *sink) mailer(t *testing.T) *checkout.SMTPMailer {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(s)
	srv.Domain = "localhost"
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		_ = l.Close() // go-smtp does not when Close came before Serve; else it is closed already
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	m, err := checkout.NewSMTPMailer(l.Addr().String(), "shop@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func confirmation() checkout.Confirmation {
	return checkout.Confirmation{
		To: "ada@example.org", CustomerName: "Ada <Lovelace>", OrderNumber: "ORD-20260314-ABCDEF01", Currency: "USD",
		Items:    []checkout.Line{{Name: "Desk & Chair", Price: checkout.Cents(2999), Quantity: 2, LineTotal: checkout.Cents(5998)}},
		Subtotal: checkout.Cents(5998), Tax: checkout.Cents(480), Shipping: checkout.Cents(599), Total: checkout.Cents(7077),
		EstimatedDelivery: "March 21, 2026",
	}
}

func TestConfirmation(t *testing.T) {
	t.Parallel()
	s := &sink{}
	m := s.mailer(t)
	for range 2 { // the second time as if the first answer had been lost
		id, err := m.Send(t.Context(), "run_00_A:send_confirmation", confirmation())
		if err != nil || id != "<run_00_A.send_confirmation@example.com>" {
			t.Fatalf("%s, %v", id, err)
		}
	}
	if n := len(s.kept()); n != 2 {
		t.Fatalf("%d messages, want 2", n)
	}
	for _, raw := range s.kept() {
		checkMessage(t, raw)
	}
}

func checkMessage(t *testing.T, raw []byte) {
	t.Helper()
	msg, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range []string{"From", "To", "Subject", "Message-Id"} {
		got[name] = msg.Header.Get(name)
	}
	want := map[string]string{
		"From": "<shop@example.com>", "To": "<ada@example.org>", "Subject": "Order confirmation ORD-20260314-ABCDEF01",
		"Message-Id": "<run_00_A.send_confirmation@example.com>",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	parts := partsOf(t, msg)
	for kind, texts := range map[string][]string{
		"text/plain": {"Hello Ada <Lovelace>", "2 x Desk & Chair at 29.99: 59.98", "70.77 USD", "March 21, 2026", "https://example.com/orders/ORD-20260314-ABCDEF01"},
		"text/html":  {"Hello Ada &lt;Lovelace&gt;", "Desk &amp; Chair", "29.99", "59.98", "70.77 USD", "March 21, 2026", `href="https://example.com/orders/ORD-20260314-ABCDEF01"`},
	} {
		for _, text := range texts {
			if !strings.Contains(parts[kind], text) {
				t.Errorf("%s lacks %q: %s", kind, text, parts[kind])
			}
		}
	}
}

func partsOf(t *testing.T, msg *netmail.Message) map[string]string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s, %v", kind, err)
	}
	parts := map[string]string{}
	r := multipart.NewReader(msg.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		parts[kind] = string(body)
	}
}

func TestMailErrorsAreSorted(t *testing.T) {
	t.Parallel()
	reply := func(code int, enhanced smtp.EnhancedCode, text string) error {
		return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
	}
	for name, tc := range map[string]struct {
		sink  *sink
		code  string
		after time.Duration
	}{
		"busy at greeting": {&sink{greeting: reply(421, smtp.EnhancedCode{4, 3, 2}, "Shutting down")}, "MAIL_BUSY", 0},
		"mailbox busy":     {&sink{rcpt: reply(450, smtp.EnhancedCode{4, 2, 1}, "Mailbox busy")}, "MAIL_BUSY", 0},
		"busy after data":  {&sink{data: reply(451, smtp.EnhancedCode{4, 3, 0}, "Try again")}, "MAIL_BUSY", 0},
		"rate limited":     {&sink{rcpt: reply(450, smtp.EnhancedCode{4, 7, 1}, "Rate limit exceeded")}, "MAIL_RATE_LIMITED", time.Minute},
		"too many":         {&sink{data: reply(421, smtp.EnhancedCode{4, 7, 0}, "Too many messages")}, "MAIL_RATE_LIMITED", time.Minute},
		"refused":          {&sink{rcpt: reply(550, smtp.EnhancedCode{5, 1, 1}, "No such user")}, "MAIL_FAILED", 0},
		"refused content":  {&sink{data: reply(554, smtp.EnhancedCode{5, 6, 0}, "Not here")}, "MAIL_FAILED", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tc.sink
			_, err := s.mailer(t).Send(t.Context(), "run_00_A:send_confirmation", confirmation())
			got := verdictOf(err)
			if got.Code != tc.code || !got.Retryable || got.After != tc.after {
				t.Errorf("%+v, want %s after %s", got, tc.code, tc.after)
			}
			if n := len(s.kept()); n != 0 {
				t.Errorf("%d messages arrived", n)
			}
		})
	}
}

func TestMailEndsWithTheStep(t *testing.T) {
	t.Parallel()
	s := &sink{stall: make(chan struct{})}
	m := s.mailer(t)
	t.Cleanup(func() { close(s.stall) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := m.Send(ctx, "run_00_A:send_confirmation", confirmation())
	if got := verdictOf(err); got.Code != "MAIL_TIMEOUT" || !got.Retryable {
		t.Errorf("%+v", got)
	}
}

func TestMailerRefusesBadInput(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"", "localhost", "localhost:smtp", ":25", "localhost:99999"} {
		if _, err := checkout.NewSMTPMailer(addr, "shop@example.com"); err == nil || !strings.Contains(err.Error(), "HOST:PORT") {
			t.Errorf("%q: %v", addr, err)
		}
	}
	for _, from := range []string{"", "shop", "Shop <shop@example.com>", "a@b, c@d"} {
		if _, err := checkout.NewSMTPMailer("localhost:25", from); err == nil || !strings.Contains(err.Error(), "shop@example.com") {
			t.Errorf("%q: %v", from, err)
		}
	}
	m, err := checkout.NewSMTPMailer("127.0.0.1:1", "shop@example.com")
	if err != nil {
		t.Fatal(err)
	}
	c := confirmation()
	if _, err := m.Send(t.Context(), "k", c); verdictOf(err).Code != "MAIL_FAILED" {
		t.Errorf("nobody there: %v", err)
	}
	c.To = "ada@example.org\r\nBcc: eve@example.org"
	if _, err := m.Send(t.Context(), "k", c); verdictOf(err).Code != "INVALID_EMAIL" || verdictOf(err).Retryable {
		t.Errorf("header in the address: %v", err)
	}
}
