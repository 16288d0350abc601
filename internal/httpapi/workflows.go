package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/pkg/dag"
)

type (
	workflowInput struct {
		Namespace string `path:"ns" doc:"Namespace." example:"ecommerce"`
		Name      string `path:"name" doc:"Name in it." example:"process_order"`
		Version   string `query:"version" doc:"The highest that is no pre-release when absent." example:"1.0.0"`
	}
	namespaceInput struct {
		Namespace string `path:"ns" doc:"Namespace." example:"ecommerce"`
	}
	workflowsOutput struct {
		Body struct {
			Workflows []workflowEntry `json:"workflows" doc:"In the order of their names."`
		}
	}
	workflowEntry struct {
		Namespace   string   `json:"namespace"`
		Name        string   `json:"name"`
		Version     string   `json:"version" doc:"What a start without a version gets."`
		Versions    []string `json:"versions" doc:"All that are registered, ascending."`
		Description string   `json:"description,omitempty"`
		Steps       int      `json:"steps"`
	}
	workflowOutput struct{ Body workflowBody }
	workflowBody   struct {
		Namespace    string          `json:"namespace"`
		Name         string          `json:"name"`
		Version      string          `json:"version"`
		Versions     []string        `json:"versions" doc:"All that are registered, ascending."`
		Description  string          `json:"description,omitempty"`
		Digest       string          `json:"digest" doc:"Names the definition's content."`
		RegisteredAt string          `json:"registered_at,omitempty" format:"date-time"`
		InputSchema  json.RawMessage `json:"input_schema,omitempty" doc:"JSON Schema that an input must satisfy; absent accepts any."`
		Profiles     []string        `json:"profiles" doc:"Named changes that a start may choose."`
		Graph        graphBody       `json:"graph" doc:"Without profiles."`
		Source       string          `json:"source,omitempty" doc:"Text of the definition file; absent when built in Go."`
	}
)

func (s *Server) workflowRoutes(api huma.API) {
	huma.Register(api, operation(http.MethodGet, "/v1/workflows", "workflows", "list-workflows", "List registered workflows"), s.workflows)
	huma.Register(api, operation(http.MethodGet, "/v1/workflows/{ns}", "workflows", "list-namespace", "List the workflows of a namespace", http.StatusNotFound), s.namespace)
	huma.Register(api, operation(http.MethodGet, "/v1/workflows/{ns}/{name}", "workflows", "get-workflow", "See a workflow and its graph", http.StatusNotFound), s.workflow)
}

func (s *Server) workflows(ctx context.Context, _ *struct{}) (*workflowsOutput, error) {
	entries, err := s.entries(ctx, "")
	if err != nil {
		return nil, err
	}
	out := &workflowsOutput{}
	out.Body.Workflows = entries
	return out, nil
}

func (s *Server) namespace(ctx context.Context, in *namespaceInput) (*workflowsOutput, error) {
	if err := dag.CheckName("namespace", in.Namespace); err != nil {
		return nil, err
	}
	entries, err := s.entries(ctx, in.Namespace)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("namespace %s: %w; GET /v1/workflows lists what is registered", in.Namespace, engine.ErrNotFound)
	}
	out := &workflowsOutput{}
	out.Body.Workflows = entries
	return out, nil
}

// entries lists workflows with all their versions, of one namespace or of all.
func (s *Server) entries(ctx context.Context, namespace string) ([]workflowEntry, error) {
	regs, err := s.engine.Store().Workflows(ctx)
	if err != nil {
		return nil, fmt.Errorf("registered workflows: %w", err)
	}
	byName := map[string][]dag.Registration{}
	for _, r := range regs {
		if namespace == "" || r.Workflow.Namespace == namespace {
			byName[r.Workflow.FullName()] = append(byName[r.Workflow.FullName()], r)
		}
	}
	out := []workflowEntry{}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		latest, err := s.engine.Workflow(ctx, name)
		if err != nil {
			return nil, err
		}
		w := latest.Workflow
		out = append(out, workflowEntry{
			Namespace: w.Namespace, Name: w.Name, Version: w.Version, Versions: versionsOf(byName[name]), Description: w.Description, Steps: len(w.Steps),
		})
	}
	return out, nil
}

func versionsOf(regs []dag.Registration) []string {
	out := make([]string, len(regs))
	for i, r := range regs {
		out[i] = r.Workflow.Version
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(dag.CompareVersions(a, b), cmp.Compare(a, b)) })
	return out
}

func (s *Server) workflow(ctx context.Context, in *workflowInput) (*workflowOutput, error) {
	name := in.Namespace + "/" + in.Name
	ref := name
	if in.Version != "" {
		ref += "@" + in.Version
	}
	reg, err := s.engine.Workflow(ctx, ref)
	if err != nil {
		return nil, err
	}
	all, err := s.engine.Store().Versions(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("versions of workflow %s: %w", name, err)
	}
	g, err := dag.Compile(reg.Workflow)
	if err != nil {
		return nil, fmt.Errorf("graph of workflow %s: %w", ref, err)
	}
	w := reg.Workflow
	return &workflowOutput{Body: workflowBody{
		Namespace: w.Namespace, Name: w.Name, Version: w.Version, Versions: versionsOf(all), Description: w.Description,
		Digest: reg.Digest, RegisteredAt: instant(reg.RegisteredAt), InputSchema: w.InputSchema,
		Profiles: list(slices.Sorted(maps.Keys(w.Profiles))), Graph: graphOf(g, nil), Source: reg.Source,
	}}, nil
}
