package dag_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stepwell/stepwell/pkg/dag"
)

// FuzzGraph reads frozen graphs as Redis may hold them: of another release, or damaged. What is read can be drawn, whatever it says of its edges.
func FuzzGraph(f *testing.F) {
	for _, w := range []*dag.Workflow{checkout(), shape("a", "b: a", "c: a", "d: b c")} {
		g, err := dag.Compile(w)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := json.Marshal(g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(bytes.Replace(raw, []byte(`"digest":"`+g.Digest+`",`), nil, 1)) // so that changed content is looked at, too
	}
	node := `{"handler":"h","join":"none_failed","name":"N","parents":["P"],"children":["P"],"queue":"q","retry":{"backoff":"constant","base_delay":"1s","jitter":0,"max_attempts":1,"max_delay":"1s"},"timeout":"1s"}`
	cycle := strings.NewReplacer("N", "a", "P", "b").Replace(node) + "," + strings.NewReplacer("N", "b", "P", "a").Replace(node)
	f.Add([]byte(`{"name":"n","namespace":"n","nodes":[` + cycle + `],"timeout":"1h","version":"1.0.0"}`))
	f.Add([]byte(`{"nodes":[` + strings.NewReplacer("N", "a", "P", "a").Replace(node) + `,` + node + `]}`))
	f.Add([]byte(`{"nodes":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var g dag.Graph
		if err := g.UnmarshalJSON(raw); err != nil {
			if !errors.Is(err, dag.ErrInvalid) {
				t.Errorf("error does not wrap ErrInvalid: %v", err)
			}
			return
		}
		out, err := g.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var back dag.Graph
		if err := back.UnmarshalJSON(out); err != nil || back.Digest != g.Digest {
			t.Errorf("round trip from digest %s to %s, %v", g.Digest, back.Digest, err)
		}
		_, _, _ = dag.SVG(&g, nil), dag.Mermaid(&g, nil), dag.DOT(&g, nil)
	})
}
