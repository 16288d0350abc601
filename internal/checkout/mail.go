package checkout

import (
	"context"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/stepwell/stepwell/pkg/tasks"
)

// Confirmation is what the e-mail about an order says.
type Confirmation struct {
	To           string
	CustomerName string
	OrderNumber  string
	Items        []Line
	Currency     string

	Subtotal, Tax, Shipping, Total Money

	EstimatedDelivery string
}

const (
	smtpTimeout        = 10 * time.Second // of each dialogue with the server; the step's context may be shorter
	mailRateLimitPause = 60 * time.Second
)

//go:embed mail
var mailFiles embed.FS

// SMTPMailer sends e-mails through an SMTP server: in plain text to one on this host, with STARTTLS when another one offers it. It is safe for
// concurrent use. Its errors are errors of package tasks.
type SMTPMailer struct {
	host   string
	port   int
	from   string
	domain string // of from
	tls    mail.TLSPolicy
	text   *texttemplate.Template
	html   *htmltemplate.Template
}

// NewSMTPMailer makes a mailer that sends as from through the server at addr, HOST:PORT.
func NewSMTPMailer(addr, from string) (*SMTPMailer, error) {
	host, portText, err := net.SplitHostPort(addr)
	port, badPort := strconv.Atoi(portText)
	if err != nil || badPort != nil || host == "" || port < 1 || port > 65535 {
		return nil, fmt.Errorf("mail server %q: use HOST:PORT, for example 127.0.0.1:1025", addr)
	}
	if err := checkAddress(from); err != nil {
		return nil, fmt.Errorf("mail sender %q: %w; use a plain address, for example shop@example.com", from, err)
	}
	m := &SMTPMailer{host: host, port: port, from: from, domain: from[strings.LastIndex(from, "@")+1:], tls: mail.TLSOpportunistic}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		m.tls = mail.NoTLS
	}
	if m.text, err = texttemplate.ParseFS(mailFiles, "mail/confirmation.txt"); err != nil {
		return nil, err
	}
	if m.html, err = htmltemplate.ParseFS(mailFiles, "mail/confirmation.html"); err != nil {
		return nil, err
	}
	return m, nil
}

// Send sends a confirmation and returns its Message-ID, which the effect key decides: should the message be sent again because the first answer was
// lost, its receiver can tell. Only an address that cannot be one is a permanent error.
func (m *SMTPMailer) Send(ctx context.Context, effectKey string, c Confirmation) (messageID string, err error) {
	messageID = strings.ReplaceAll(effectKey, ":", ".") + "@" + m.domain
	msg, err := m.compose(messageID, c)
	if err != nil {
		return "", err
	}
	// The connection is made here because go-mail neither closes one whose greeting fails nor ends a dialogue when ctx does.
	conn, err := (&net.Dialer{Timeout: smtpTimeout}).DialContext(ctx, "tcp", net.JoinHostPort(m.host, strconv.Itoa(m.port)))
	if err != nil {
		return "", sendError(ctx, err)
	}
	defer func() { _ = conn.Close() }() // closed already when all went well
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	client, err := mail.NewClient(m.host, mail.WithPort(m.port), mail.WithTLSPolicy(m.tls), mail.WithHELO(m.domain), mail.WithTimeout(smtpTimeout),
		mail.WithoutNoop(), mail.WithoutRset(), mail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) { return conn, nil }))
	if err != nil {
		return "", fmt.Errorf("prepare e-mail %s: %w", messageID, err)
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if err != nil && !msg.IsDelivered() { // once delivered, a goodbye that went wrong changes nothing
		return "", sendError(ctx, err)
	}
	return "<" + messageID + ">", nil
}

func (m *SMTPMailer) compose(messageID string, c Confirmation) (*mail.Msg, error) {
	if err := checkAddress(c.To); err != nil {
		return nil, permanent("INVALID_EMAIL", "%q is no e-mail address: %w", c.To, err)
	}
	data := struct {
		Confirmation
		Link string
	}{c, "https://" + m.domain + "/orders/" + c.OrderNumber}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.SetMessageIDWithValue(messageID)
	msg.Subject("Order confirmation " + c.OrderNumber)
	if err := errors.Join(msg.From(m.from), msg.To(c.To)); err != nil {
		return nil, permanent("INVALID_EMAIL", "%q is no e-mail address: %w", c.To, err)
	}
	if err := errors.Join(msg.SetBodyTextTemplate(m.text, data), msg.AddAlternativeHTMLTemplate(m.html, data)); err != nil {
		return nil, fmt.Errorf("write e-mail %s: %w", messageID, err)
	}
	return msg, nil
}

var errAddress = errors.New("it needs the form name@domain")

// checkAddress accepts a bare address with a domain, nothing that could add a header or a second receiver.
func checkAddress(address string) error {
	a, err := netmail.ParseAddress(address)
	if err != nil || a.Name != "" || a.Address != address || strings.HasSuffix(address, "@") {
		return errAddress
	}
	return nil
}

// sendError sorts what the mail server, or the way to it, answered. All of it is tried again; a server that has had too much of us, later.
// go-mail's errors do not unwrap, hence the texts.
func sendError(ctx context.Context, err error) error {
	err = fmt.Errorf("send the confirmation: %w", err)
	text := strings.ToLower(err.Error())
	if strings.Contains(text, "too many") || strings.Contains(text, "rate limit") || strings.Contains(text, "rate_limited") {
		return tasks.RetryAfter(tasks.Retryable("MAIL_RATE_LIMITED", err), mailRateLimitPause)
	}
	if ctx.Err() != nil || strings.Contains(text, "i/o timeout") {
		return tasks.Retryable("MAIL_TIMEOUT", err)
	}
	switch smtpCode(err) {
	case 421, 450, 451, 452: // not available, mailbox busy, error in processing, no room
		return tasks.Retryable("MAIL_BUSY", err)
	}
	return tasks.Retryable("MAIL_FAILED", err)
}

// smtpCode is the server's reply code, 0 when it is not known.
func smtpCode(err error) int {
	if e, ok := errors.AsType[*mail.SendError](err); ok {
		return e.ErrorCode()
	}
	if e, ok := errors.AsType[*textproto.Error](err); ok {
		return e.Code
	}
	return 0
}
