package gatewaysim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Charge is money taken from a card, once per key.
type Charge struct {
	ID            string    `json:"id"` // ch_…
	Key           string    `json:"key"`
	Amount        Money     `json:"amount"`
	Currency      string    `json:"currency"`
	Method        string    `json:"method"`          // credit_card, debit_card, paypal or bank_transfer
	Brand         string    `json:"brand,omitempty"` // visa, mastercard, amex; empty when the token names none
	TransactionID string    `json:"transaction_id"`  // txn_…
	Status        string    `json:"status"`          // succeeded
	Run           string    `json:"run,omitempty"`   // metadata of the request
	Step          string    `json:"step,omitempty"`
	CreatedAt     time.Time `json:"created_at"`
}

// Refund is money given back for a charge.
type Refund struct {
	ID        string    `json:"id"` // re_…
	Key       string    `json:"key"`
	Charge    string    `json:"charge"`
	Amount    Money     `json:"amount"`
	Currency  string    `json:"currency"`
	Status    string    `json:"status"` // succeeded
	Run       string    `json:"run,omitempty"`
	Step      string    `json:"step,omitempty"`
	CreatedAt time.Time `json:"created_at"`
}

// Call is one accepted call to POST /v1/charges. Outcome is charged, lost_reply, held, replayed or the code of a failure.
type Call struct {
	Key     string    `json:"key"`
	Outcome string    `json:"outcome"`
	At      time.Time `json:"at"`
}

// Ledger is the content of a ledger file, each slice in the order of writing.
type Ledger struct {
	Charges []Charge
	Refunds []Refund
	Calls   []Call
}

// ReadLedger reads a ledger file; the gateway may be running and writing to it. A last line that is not complete is left out.
// The error names file and line of what cannot be read; a missing file is os.ErrNotExist.
func ReadLedger(path string) (Ledger, error) {
	f, err := os.Open(path)
	if err != nil {
		return Ledger{}, fmt.Errorf("read ledger: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	b := newBooks()
	if _, err := replay(f, path, b); err != nil {
		return Ledger{}, err
	}
	return b.Ledger, nil
}

const (
	kindCall   = "call"
	kindCharge = "charge"
	kindRefund = "refund"
)

// record is one line of the ledger file.
type record struct {
	Kind    string    `json:"kind"`
	At      time.Time `json:"at"`
	Key     string    `json:"key"`
	Body    string    `json:"body"` // digest of the request
	Outcome string    `json:"outcome,omitempty"`
	Charge  *Charge   `json:"charge,omitempty"`
	Refund  *Refund   `json:"refund,omitempty"`
}

// file appends records durably. After a failed write it refuses every further one: what is on disk is then unknown
// until the file is opened again.
type file struct {
	f      *os.File
	broken error
}

// openLedger replays the file into b, removes a torn last line and leaves the file open for appending.
func openLedger(path string, b *books) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger (give a file that can be written): %w", err)
	}
	size, err := replay(f, path, b)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &file{f: f}, nil
}

// append returns when the record is on disk.
func (l *file) append(r record) error {
	if l.broken != nil {
		return l.broken
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode %s record: %w", r.Kind, err)
	}
	if _, err = l.f.Write(append(line, '\n')); err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		l.broken = fmt.Errorf("append to ledger (mend the disk, then start the gateway again): %w", err)
	}
	return l.broken
}

func (l *file) close() error {
	if l.broken == nil {
		l.broken = errors.New("the ledger is closed")
	}
	return l.f.Close()
}

// replay applies every complete line to b and returns the length of what it read without a torn last line.
func replay(r io.Reader, path string, b *books) (int64, error) {
	in := bufio.NewReader(r)
	var size int64
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return size, nil // what is in line has no line feed: torn
		}
		if err != nil {
			return 0, fmt.Errorf("read ledger %s:%d: %w", path, n, err)
		}
		if err := applyLine(line, b); err != nil {
			return 0, fmt.Errorf("ledger %s:%d is corrupt (restore the file, or move it away to start an empty one): %w", path, n, err)
		}
		size += int64(len(line))
	}
}

func applyLine(line []byte, b *books) error {
	var r record
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value in the line")
	}
	if err := b.check(r); err != nil {
		return err
	}
	b.apply(r)
	return nil
}
