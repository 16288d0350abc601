package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/mail"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// maxMail bounds one message that the sink keeps.
const maxMail = 1 << 20

// Mail is a message that the sink got.
type Mail struct {
	ID      string // Message-ID
	To      string
	Subject string
}

// MailSink is an SMTP server that delivers nothing and keeps everything for inspection. It is safe for concurrent use.
type MailSink struct {
	Addr string

	server   *smtp.Server
	listener net.Listener
	served   chan struct{}
	mu       sync.Mutex
	mails    []Mail
}

// StartMailSink starts a sink on a free port of the loopback interface.
func StartMailSink(ctx context.Context) (*MailSink, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("mail sink: %w", err)
	}
	s := &MailSink{Addr: l.Addr().String(), listener: l, served: make(chan struct{})}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{sink: s}, nil }))
	s.server.Domain, s.server.MaxMessageBytes = "localhost", maxMail
	s.server.ReadTimeout, s.server.WriteTimeout = 10*time.Second, 10*time.Second
	go func() {
		defer close(s.served)
		_ = s.server.Serve(l) // ends when the server is closed
	}()
	return s, nil
}

// Mails returns what came in so far.
func (s *MailSink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Close ends the sink.
func (s *MailSink) Close() error {
	err := s.server.Close()
	_ = s.listener.Close() // closed already, unless the server had not yet begun to serve
	<-s.served
	return err
}

// mailSession is one SMTP connection.
type mailSession struct {
	sink *MailSink
	to   string
}

func (m *mailSession) Mail(string, *smtp.MailOptions) error { return nil }

func (m *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	m.to = to
	return nil
}

func (m *mailSession) Data(r io.Reader) error {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "not a message"}
	}
	if _, err := io.Copy(io.Discard, msg.Body); err != nil {
		return err
	}
	m.sink.mu.Lock()
	defer m.sink.mu.Unlock()
	m.sink.mails = append(m.sink.mails, Mail{ID: msg.Header.Get("Message-Id"), To: m.to, Subject: msg.Header.Get("Subject")})
	return nil
}

func (m *mailSession) Reset() { m.to = "" }

func (m *mailSession) Logout() error { return nil }
