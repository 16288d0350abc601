package faultproxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxBulk bounds one string, so that a broken length cannot eat the memory.
const maxBulk = 64 << 20

var errProtocol = errors.New("not the protocol of Redis")

// message is one command or one reply as it was on the wire.
type message struct {
	raw   bytes.Buffer
	kind  byte     // first byte
	words []string // strings of an array of strings; only read for commands
}

// readMessage reads one whole command or reply, with all that is nested in it.
func readMessage(r *bufio.Reader) (*message, error) {
	m := &message{}
	if err := m.value(r, 0); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *message) value(r *bufio.Reader, depth int) error {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return err
	}
	if len(line) < 3 {
		return fmt.Errorf("%w: line %q", errProtocol, line)
	}
	m.raw.Write(line)
	if depth == 0 {
		m.kind = line[0]
	}
	switch line[0] {
	case '$', '=', '!':
		return m.bulk(r, line)
	case '*', '~', '>', '%', '|':
		return m.nested(r, line, depth)
	case '+', '-', ':', '_', '#', ',', '(':
		return nil
	}
	return fmt.Errorf("%w: line %q", errProtocol, line)
}

func (m *message) bulk(r *bufio.Reader, line []byte) error {
	n, err := length(line)
	if err != nil || n < 0 {
		return err
	}
	from := m.raw.Len()
	if _, err := io.CopyN(&m.raw, r, int64(n)+2); err != nil {
		return err
	}
	m.words = append(m.words, string(m.raw.Bytes()[from:from+n]))
	return nil
}

func (m *message) nested(r *bufio.Reader, line []byte, depth int) error {
	n, err := length(line)
	if err != nil {
		return err
	}
	if line[0] == '%' || line[0] == '|' {
		n *= 2
	}
	if line[0] == '|' {
		n++ // the value that the attributes are about
	}
	for range n {
		if err := m.value(r, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// length reads the number of a line; -1 is a null.
func length(line []byte) (int, error) {
	n, err := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	if err != nil || n < -1 || n > maxBulk {
		return 0, fmt.Errorf("%w: length in %q", errProtocol, line)
	}
	return n, nil
}
