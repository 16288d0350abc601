package checkout

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/stepwell/stepwell/pkg/tasks"
)

// Charge is money that the gateway took.
type Charge struct {
	ID            string    `json:"id"`
	Key           string    `json:"key"`
	Amount        Money     `json:"amount"`
	Currency      string    `json:"currency"`
	Method        string    `json:"method"`
	TransactionID string    `json:"transaction_id"`
	Status        string    `json:"status"`
	CreatedAt     time.Time `json:"created_at"`
}

// ChargeRequest asks the gateway for money. Key makes it happen once: the same request under the same key has the same answer.
type ChargeRequest struct {
	Key      string         `json:"-"`
	Amount   Money          `json:"amount"`
	Currency string         `json:"currency"`
	Method   string         `json:"method"`
	Token    Token          `json:"token"`
	Metadata ChargeMetadata `json:"metadata"`
}

// ChargeMetadata says in the gateway's books what a charge was for.
type ChargeMetadata struct {
	Run  string `json:"run"`
	Step string `json:"step"`
}

// PaymentConfig is what a [PaymentClient] may be told. The zero value is the documented default.
type PaymentConfig struct {
	ConnectTimeout time.Duration    // to connect; 0 = 3 s
	AnswerTimeout  time.Duration    // from the request to the first byte of the answer; 0 = 25 s. The step's context bounds the whole call
	Now            func() time.Time // reads a Retry-After that is a date; nil = time.Now
}

// PaymentClient calls a payment gateway over HTTP. It is safe for concurrent use. Its errors are errors of package tasks, sorted by what shall
// happen next; none of them, and no log line, carries a payment token.
type PaymentClient struct {
	charges string // URL
	http    *http.Client
	now     func() time.Time
}

const maxAnswerBytes = 256 << 10 // of the gateway; a charge is some 300 bytes

// NewPaymentClient makes a client of the gateway at baseURL, for example http://127.0.0.1:8090. Close it after use.
func NewPaymentClient(baseURL string, cfg PaymentConfig) (*PaymentClient, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("payment gateway URL %q: use http://HOST:PORT or https://HOST, for example http://127.0.0.1:8090", withoutPassword(baseURL))
	}
	if cfg.ConnectTimeout < 0 || cfg.AnswerTimeout < 0 {
		return nil, fmt.Errorf("payment gateway: ConnectTimeout %s and AnswerTimeout %s must not be negative", cfg.ConnectTimeout, cfg.AnswerTimeout)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 3 * time.Second
	}
	if cfg.AnswerTimeout == 0 {
		cfg.AnswerTimeout = 25 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the one place where the default clock is wired
	}
	return &PaymentClient{charges: u.JoinPath("v1", "charges").String(), now: cfg.Now, http: &http.Client{
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: cfg.ConnectTimeout}).DialContext,
			TLSHandshakeTimeout:   cfg.ConnectTimeout,
			ResponseHeaderTimeout: cfg.AnswerTimeout,
			IdleConnTimeout:       30 * time.Second,
			MaxIdleConnsPerHost:   16,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // nobody else gets a token
	}}, nil
}

// Close closes idle connections.
func (p *PaymentClient) Close() { p.http.CloseIdleConnections() }

// Lookup asks for the charge that was made under a key; ok is false when there is none.
func (p *PaymentClient) Lookup(ctx context.Context, key string) (c Charge, ok bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.charges+"?key="+url.QueryEscape(key), http.NoBody)
	if err != nil {
		return Charge{}, false, fmt.Errorf("look charge %s up: %w", key, err)
	}
	var found struct {
		Data []Charge `json:"data"`
	}
	if err := p.do(req, "", &found); err != nil {
		return Charge{}, false, err
	}
	for _, c := range found.Data {
		if c.Key == key {
			return c, true, nil
		}
	}
	return Charge{}, false, nil
}

// Charge asks for money. After an error the gateway may have charged all the same: only [PaymentClient.Lookup], or the same request again,
// tells.
func (p *PaymentClient) Charge(ctx context.Context, charge ChargeRequest) (Charge, error) {
	body, err := json.Marshal(charge)
	if err != nil {
		return Charge{}, fmt.Errorf("write charge %s as JSON: %w", charge.Key, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.charges, bytes.NewReader(body))
	if err != nil {
		return Charge{}, fmt.Errorf("charge %s: %w", charge.Key, err)
	}
	// With GetBody net/http would send a POST that has an Idempotency-Key a second time by itself when a connection drops. Sending it again
	// must be an attempt of the step, which is counted and seen.
	req.GetBody = nil
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", charge.Key)
	var made Charge
	err = p.do(req, charge.Token, &made)
	return made, err
}

// do sends a request and reads the answer into v if it is a good one. An answer that cannot be read
// is none: whether there was a charge is asked on the next attempt.
func (p *PaymentClient) do(req *http.Request, token Token, v any) error {
	req.Header.Set("Accept", "application/json")
	res, err := p.http.Do(req)
	if err != nil {
		return tasks.Retryable("PAYMENT_NETWORK", fmt.Errorf("call the payment gateway: %w", err))
	}
	defer func() { _ = res.Body.Close() }() // nothing is written to it
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes+1))
	if err != nil {
		return tasks.Retryable("PAYMENT_NETWORK", fmt.Errorf("read the payment gateway's answer: %w", err))
	}
	if len(body) > maxAnswerBytes {
		return tasks.Retryable("PAYMENT_ERROR", fmt.Errorf("the payment gateway's answer is larger than %d bytes", maxAnswerBytes))
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusCreated {
		return refusal(parseRefusal(res.StatusCode, body, token), retryAfter(res.Header.Get("Retry-After"), p.now()))
	}
	if err := json.Unmarshal(body, v); err != nil {
		return tasks.Retryable("PAYMENT_ERROR", fmt.Errorf("read the payment gateway's answer: %w", err))
	}
	return nil
}
