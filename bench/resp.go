package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// keepArgs is how many arguments of a command are kept: EVALSHA digest numkeys key.
const keepArgs = 4

var errProtocol = errors.New("not the Redis protocol")

// command is what a client asked, with its first arguments.
type command struct {
	args  []string
	bytes int64
}

// readCommand reads a command as clients send it: an array of bulk strings.
func readCommand(r *bufio.Reader) (command, error) {
	kind, n, size, err := readHead(r)
	if err != nil {
		return command{}, err
	}
	if kind != '*' {
		return command{}, fmt.Errorf("%w: a command begins with %q", errProtocol, kind)
	}
	c := command{bytes: size}
	for i := range n {
		kind, length, size, err := readHead(r)
		if err != nil {
			return command{}, err
		}
		if kind != '$' || length < 0 {
			return command{}, fmt.Errorf("%w: argument %d of a command is no bulk string", errProtocol, i)
		}
		c.bytes += size + length + 2
		if i >= keepArgs {
			if _, err := r.Discard(int(length) + 2); err != nil {
				return command{}, err
			}
			continue
		}
		text := make([]byte, length+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return command{}, err
		}
		c.args = append(c.args, string(text[:length]))
	}
	return c, nil
}

// reply is what a server answered, by its outermost value.
type reply struct {
	bytes  int64
	null   bool
	failed bool
	pushed bool // not an answer to a command
}

// readReply reads one value of RESP2 or RESP3 with everything in it.
func readReply(r *bufio.Reader) (reply, error) {
	kind, n, size, err := readHead(r)
	if err != nil {
		return reply{}, err
	}
	out := reply{bytes: size, null: kind == '_' || n < 0 && (kind == '$' || kind == '*'), failed: kind == '-' || kind == '!', pushed: kind == '>'}
	inner := int64(0)
	switch kind {
	case '$', '=', '!':
		if n >= 0 {
			out.bytes += n + 2
			_, err = r.Discard(int(n) + 2)
		}
	case '*', '~', '>':
		inner = n
	case '%':
		inner = 2 * n
	case '|': // attributes come before the value that they describe
		inner = 2*n + 1
	}
	for range max(inner, 0) {
		v, err := readReply(r)
		if err != nil {
			return reply{}, err
		}
		out.bytes += v.bytes
	}
	return out, err
}

// readHead reads the first line of a value: its kind, and the number in it where the kind has one.
func readHead(r *bufio.Reader) (kind byte, n, size int64, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, 0, 0, err
	}
	if len(line) < 3 {
		return 0, 0, 0, fmt.Errorf("%w: line %q", errProtocol, line)
	}
	switch kind = line[0]; kind {
	case '*', '$', '=', '!', '~', '>', '%', '|':
		if n, err = strconv.ParseInt(string(line[1:len(line)-2]), 10, 64); err != nil {
			return 0, 0, 0, fmt.Errorf("%w: line %q", errProtocol, line)
		}
	}
	return kind, n, int64(len(line)), nil
}
