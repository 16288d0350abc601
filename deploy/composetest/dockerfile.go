package composetest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Image is what a target of a Dockerfile says of its containers.
type Image struct {
	Target     string
	From       string   // the image or target that it builds upon
	Copied     []string // targets of COPY
	Env        map[string]string
	User       string
	Ports      []string
	Health     []string // command of the health check
	Entrypoint []string
	Build      []string // RUN lines
}

// ParseDockerfile reads the targets of a Dockerfile by name, each with what it inherits, and the name of the last one. It knows the
// instructions that ours uses and refuses others.
func ParseDockerfile(text string) (images map[string]*Image, last string, err error) {
	images = map[string]*Image{}
	var image *Image
	for _, line := range logicalLines(text) {
		verb, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		if verb == "FROM" {
			if image, err = from(images, rest); err != nil {
				return nil, "", err
			}
			images[image.Target], last = image, image.Target
			continue
		}
		if image == nil {
			return nil, "", fmt.Errorf("%q stands before the first FROM", line)
		}
		if err := image.apply(verb, rest); err != nil {
			return nil, "", fmt.Errorf("target %s: %s: %w", image.Target, verb, err)
		}
	}
	return images, last, nil
}

// logicalLines drops comments and joins lines that end in a backslash.
func logicalLines(text string) []string {
	var lines []string
	open := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		body, more := strings.CutSuffix(line, `\`)
		if open {
			lines[len(lines)-1] += " " + strings.TrimSpace(body)
		} else {
			lines = append(lines, strings.TrimSpace(body))
		}
		open = more
	}
	return lines
}

func from(images map[string]*Image, rest string) (*Image, error) {
	words := strings.Fields(rest)
	if strings.HasPrefix(words[0], "--platform=") {
		words = words[1:]
	}
	if len(words) != 3 || words[1] != "AS" {
		return nil, fmt.Errorf("FROM %s: every target has a name", rest)
	}
	image := &Image{Target: words[2], From: words[0], Env: map[string]string{}}
	if parent, ok := images[words[0]]; ok {
		image.User, image.Copied = parent.User, append([]string(nil), parent.Copied...)
	}
	return image, nil
}

func (i *Image) apply(verb, rest string) error {
	switch verb {
	case "ARG", "WORKDIR":
	case "RUN":
		i.Build = append(i.Build, rest)
	case "COPY":
		words := strings.Fields(rest)
		i.Copied = append(i.Copied, words[len(words)-1])
	case "USER":
		i.User = rest
	case "EXPOSE":
		i.Ports = append(i.Ports, rest)
	case "ENV":
		for pair := range strings.FieldsSeq(rest) {
			name, value, _ := strings.Cut(pair, "=")
			i.Env[name] = value
		}
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &i.Entrypoint)
	case "HEALTHCHECK":
		_, command, found := strings.Cut(rest, "CMD ")
		if !found {
			return fmt.Errorf("no command in %q", rest)
		}
		return json.Unmarshal([]byte(command), &i.Health)
	default:
		return fmt.Errorf("not an instruction that our Dockerfile uses: %q", rest)
	}
	return nil
}

// Binaries are the programs that the image is built with: the packages of its go build.
func (i *Image) Binaries() []string {
	var names []string
	for _, line := range i.Build {
		if !strings.Contains(line, "go build") {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			if name, ok := strings.CutPrefix(word, "./cmd/"); ok {
				names = append(names, name)
			}
		}
	}
	return names
}
